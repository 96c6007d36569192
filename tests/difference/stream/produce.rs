//! InitProducerId and Produce.

use krs::kafka::protocol::Uuid;
use krs::kafka::protocol::messages::*;

use super::{NO_TOPIC, at_most, list_offsets, produce, topic, versions};
use crate::batches::{Batch, TIME, old_message_set};
use crate::player::{Player, Topic};

pub fn play(player: &mut Player) {
    for version in versions::<InitProducerIdRequest>() {
        player.pass(version);
        producer_ids(player, version);
    }
    let narrow = topic(player, "narrow", 1, &[("max.message.bytes", "1000")]);
    let compacted = topic(player, "compacted", 1, &[("cleanup.policy", "compact")]);
    let stamped = topic(player, "stamped", 1, &[("message.timestamp.type", "LogAppendTime")]);
    for version in versions::<ProduceRequest>() {
        player.pass(version);
        let log = topic(player, &format!("produced-{version}"), 3, &[]);
        player.mask.know_text(&log.name, "topic");
        plain(player, version, &log);
        broken(player, version, &log);
        sequences(player, version, &log);
        settings(player, version, &narrow, &compacted, &stamped);
    }
}

fn producer_ids(player: &mut Player, version: i16) {
    let mut ask = |title: &str, request: InitProducerIdRequest| {
        player.ask_part(title, version, &request, |answer| {
            // Which one it is, is the broker's choice.
            answer.producer_id = answer.producer_id.min(0);
        })
    };
    let idempotent = InitProducerIdRequest::default();
    ask("of an idempotent producer", idempotent.clone());
    ask(
        "of an idempotent producer with a timeout of transactions",
        InitProducerIdRequest { transaction_timeout_ms: i32::MAX, ..idempotent.clone() },
    );
    ask(
        "of an empty transactional id",
        InitProducerIdRequest {
            transactional_id: Some(String::new()),
            transaction_timeout_ms: 1000,
            ..Default::default()
        },
    );
    if version >= 3 {
        let with =
            |producer_id, producer_epoch| InitProducerIdRequest { producer_id, producer_epoch, ..idempotent.clone() };
        ask("a new epoch, of an idempotent producer", with(7, 3));
        ask("an id without an epoch", with(7, -1));
        ask("an epoch without an id", with(-1, 3));
        ask("a negative id", with(-5, 0));
    }
}

/// A producer id of the broker's.
fn new_producer(player: &mut Player) -> i64 {
    player.quietly(4, &InitProducerIdRequest::default()).producer_id
}

fn plain(player: &mut Player, version: i16, log: &Topic) {
    let batch = Batch::of(&["a", "b"]).bytes();
    let mut ask = |title: &str, request: &ProduceRequest| player.ask(title, version, request);
    ask("two records, acks=all", &produce(log, -1, vec![(0, Some(batch.clone()))]));
    ask("two records, acks=1", &produce(log, 1, vec![(0, Some(batch.clone()))]));
    ask("two partitions", &produce(log, -1, vec![(0, Some(batch.clone())), (2, Some(batch.clone()))]));
    ask(
        "two partitions, one of which does not exist",
        &produce(log, -1, vec![(0, Some(batch.clone())), (9, Some(batch.clone()))]),
    );
    ask("the same partition twice", &produce(log, -1, vec![(0, Some(batch.clone())), (0, Some(batch.clone()))]));
    ask("acks=2", &produce(log, 2, vec![(0, Some(batch.clone()))]));
    ask("acks=-2", &produce(log, -2, vec![(0, Some(batch.clone()))]));
    ask("a partition that does not exist", &produce(log, -1, vec![(3, Some(batch.clone()))]));
    ask("a negative partition", &produce(log, -1, vec![(-1, Some(batch.clone()))]));
    let unknown = Topic { name: "unknown".to_owned(), id: NO_TOPIC };
    ask("a topic that does not exist", &produce(&unknown, -1, vec![(0, Some(batch.clone()))]));
    let nameless = Topic { name: String::new(), id: Uuid::ZERO };
    ask("a topic without a name", &produce(&nameless, -1, vec![(0, Some(batch.clone()))]));
    ask("no topic", &ProduceRequest { acks: -1, timeout_ms: 1000, ..Default::default() });
    ask("no partition", &produce(log, -1, vec![]));
    let mut twice = produce(log, -1, vec![(0, Some(batch.clone()))]);
    twice.topic_data.extend(twice.topic_data.clone());
    ask("the same topic twice", &twice);
    ask("a timeout of 0", &ProduceRequest { timeout_ms: 0, ..produce(log, -1, vec![(0, Some(batch.clone()))]) });

    let silent = |acks, batch: Vec<u8>| produce(log, acks, vec![(1, Some(batch))]);
    player.ask_without_answer("acks=0", version, &silent(0, batch.clone()));
    ends(player, "after acks=0", log);
    // Kafka closes the connection, for it cannot tell the producer in any other way.
    player.ask_without_answer(
        "acks=0, with a wrong checksum",
        version,
        &silent(0, Batch { bad_crc: true, ..Batch::of(&["a"]) }.bytes()),
    );
    player.ask_without_answer("acks=0, no topic", version, &ProduceRequest::default());
    ends(player, "after a wrong checksum with acks=0", log);
}

fn broken(player: &mut Player, version: i16, log: &Topic) {
    let sound = Batch::of(&["a", "b"]);
    let whole = sound.bytes();
    let changed = |change: &dyn Fn(&mut Batch)| {
        let mut batch = sound.clone();
        change(&mut batch);
        batch.bytes()
    };
    let two = [whole.clone(), whole.clone()].concat();
    // Null in place of records is left out: Kafka never answers that.
    for (title, records) in [
        ("a wrong checksum", Some(changed(&|batch| batch.bad_crc = true))),
        ("no records, no bytes", Some(vec![])),
        ("a batch without records", Some(changed(&|batch| batch.records.clear()))),
        ("two batches", Some(two)),
        ("a batch that is cut off", Some(whole[..whole.len() - 3].to_vec())),
        ("a header that is cut off", Some(whole[..40].to_vec())),
        ("a batch and a bit of another one", Some([&whole[..], &whole[..30]].concat())),
        (
            "bytes that are no batch",
            Some(b"this is no batch of records but only some text that is longer than one".to_vec()),
        ),
        ("message format 0", Some(old_message_set(0))),
        ("message format 1", Some(old_message_set(1))),
        ("message format 3", Some(changed(&|batch| batch.magic = 3))),
        ("a base offset of 5", Some(changed(&|batch| batch.base_offset = 5))),
        ("a leader epoch of 5", Some(changed(&|batch| batch.leader_epoch = 5))),
        ("more records claimed than there are", Some(changed(&|batch| batch.count = Some(3)))),
        ("fewer records claimed than there are", Some(changed(&|batch| batch.count = Some(1)))),
        ("a negative number of records", Some(changed(&|batch| batch.count = Some(-1)))),
        (
            "a last offset that does not fit the number of records",
            Some(changed(&|batch| batch.last_offset_delta = Some(5))),
        ),
        ("a length of 0", Some(changed(&|batch| batch.length = Some(0)))),
        ("a negative length", Some(changed(&|batch| batch.length = Some(-1)))),
        ("a length beyond the end", Some(changed(&|batch| batch.length = Some(1000)))),
        ("a compression that does not exist", Some(changed(&|batch| batch.attributes = 5))),
        ("gzip that is none", Some(changed(&|batch| batch.attributes = 1))),
        ("zstd that is none", Some(changed(&|batch| batch.attributes = 4))),
        ("a control batch", Some(changed(&|batch| batch.attributes = 0x20))),
        ("append time, claimed by the producer", Some(changed(&|batch| batch.attributes = 8))),
        ("a transactional batch without a transactional id", Some(changed(&|batch| batch.attributes = 0x10))),
    ] {
        player.ask(title, version, &produce(log, -1, vec![(1, records)]));
    }
    let bad = Batch { bad_crc: true, ..sound.clone() };
    player.ask(
        "two partitions, one with a wrong checksum",
        version,
        &produce(log, -1, vec![(1, Some(bad.bytes())), (2, Some(whole.clone()))]),
    );
    ends(player, "after what was refused", log);
}

fn sequences(player: &mut Player, version: i16, log: &Topic) {
    let id = new_producer(player);
    let mut ask = |title: &str, batch: Batch| {
        player.ask(title, version, &produce(log, -1, vec![(2, Some(batch.bytes()))]));
    };
    let two = || Batch::of(&["a", "b"]);
    ask("idempotent, the first batch", two().idempotent(id, 0, 0));
    ask("idempotent, the second batch", two().idempotent(id, 0, 2));
    ask("idempotent, the second batch again", two().idempotent(id, 0, 2));
    ask("idempotent, the first batch again", two().idempotent(id, 0, 0));
    ask("idempotent, a part of the second batch again", Batch::of(&["b"]).idempotent(id, 0, 3));
    ask("idempotent, a gap", two().idempotent(id, 0, 6));
    ask("idempotent, behind the gap", two().idempotent(id, 0, 8));
    ask("idempotent, the third batch", two().idempotent(id, 0, 4));
    for (number, sequence) in [(4, 6), (5, 8), (6, 10), (7, 12)] {
        ask(&format!("idempotent, batch {number}"), two().idempotent(id, 0, sequence));
    }
    ask("idempotent, the third last batch again", two().idempotent(id, 0, 8));
    ask("idempotent, the sixth last batch again", two().idempotent(id, 0, 2));
    ask("idempotent, a new epoch that does not begin at 0", two().idempotent(id, 1, 14));
    ask("idempotent, a new epoch", two().idempotent(id, 1, 0));
    ask("idempotent, the old epoch", two().idempotent(id, 0, 14));
    ask("idempotent, a negative sequence", two().idempotent(id, 1, -1));
    ask("idempotent, without an epoch", two().idempotent(id, -1, 2));
    ask("idempotent, a negative id other than -1", two().idempotent(-2, 0, 0));
    ask("a sequence without an id", two().idempotent(-1, -1, 5));
    ask("idempotent, an id that nobody gave out", two().idempotent(1 << 40, 0, 0));
    let other = new_producer(player);
    let mut ask = |title: &str, batch: Batch| {
        player.ask(title, version, &produce(log, -1, vec![(2, Some(batch.bytes()))]));
    };
    ask("idempotent, a new producer that does not begin at 0", two().idempotent(other, 0, 9));
    ask("idempotent, that producer's next batch", two().idempotent(other, 0, 11));
    let wrapping = new_producer(player);
    let mut ask = |title: &str, batch: Batch| {
        player.ask(title, version, &produce(log, -1, vec![(2, Some(batch.bytes()))]));
    };
    ask("idempotent, up to the last sequence", two().idempotent(wrapping, 0, i32::MAX - 1));
    ask("idempotent, from 0 again", two().idempotent(wrapping, 0, 0));
    ends(player, "after the idempotent producers", log);
}

fn settings(player: &mut Player, version: i16, narrow: &Topic, compacted: &Topic, stamped: &Topic) {
    let large = "x".repeat(1100);
    let mut ask = |title: &str, topic: &Topic, batch: Batch| {
        player.ask_part(title, version, &produce(topic, -1, vec![(0, Some(batch.bytes()))]), |answer| {
            // It grows from version to version.
            for partition in answer.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses) {
                partition.base_offset = partition.base_offset.min(0);
            }
        });
    };
    ask("a batch above max.message.bytes", narrow, Batch::of(&[&large]));
    ask("a batch below max.message.bytes", narrow, Batch::of(&[&large[..900]]));
    ask("records without keys in a compacted topic", compacted, Batch::of(&["a", "b"]));
    ask("records with keys in a compacted topic", compacted, Batch { key: Some(b"k"), ..Batch::of(&["a", "b"]) });
    ask("append time", stamped, Batch::of(&["a", "b"]));
    let mut future = Batch::of(&["a", "b"]);
    future.records[1].0 = TIME * 10;
    ask("a record of the far future", narrow, future.clone());
    ask("a record of the far future, with append time", stamped, future);
    let mut timeless = Batch::of(&["a"]);
    timeless.records[0].0 = -1;
    ask("a record without a time", narrow, timeless);
}

/// Where the partitions end now.
fn ends(player: &mut Player, when: &str, log: &Topic) {
    let request = list_offsets::of(&log.name, &[(0, -1), (1, -1), (2, -1)]);
    player.ask(&format!("the ends {when}"), at_most::<ListOffsetsRequest>(7), &request);
}

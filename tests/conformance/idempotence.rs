//! What a broker makes of an idempotent producer's sequences (KIP-98, KIP-360), and of batches that are damaged.

use krs::kafka::protocol::ErrorCode;
use krs::kafka::protocol::messages::*;

use crate::support::kafka;
use crate::wire::{ATTRIBUTES, Batch, CRC, Topic, Wire, sign};

/// A topic, a connection to its leader and a new producer id.
fn begin(name: &str) -> (Topic, Wire, (i64, i16)) {
    let topic = Topic::create(name, 1);
    let mut wire = Wire::leader(&topic, 0);
    let producer = wire.producer_id();
    (topic, wire, producer)
}

/// Appends; the offset of the first record, or why not.
#[track_caller]
fn append(wire: &mut Wire, topic: &Topic, batch: &Batch) -> Result<i64, ErrorCode> {
    append_bytes(wire, topic, &batch.encode())
}

#[track_caller]
fn append_bytes(wire: &mut Wire, topic: &Topic, batch: &[u8]) -> Result<i64, ErrorCode> {
    let answer = wire.produce(topic, 0, batch);
    answer.error_code.ok().map(|()| answer.base_offset)
}

#[test]
fn each_producer_gets_an_id_of_its_own() {
    let mut wire = Wire::any();
    let ids = [wire.producer_id(), wire.producer_id(), Wire::any().producer_id()];
    assert!(ids.iter().all(|(id, epoch)| *id >= 0 && *epoch == 0), "{ids:?}");
    assert!(ids[0].0 != ids[1].0 && ids[1].0 != ids[2].0 && ids[0].0 != ids[2].0, "{ids:?}");
}

/// What it had before counts only for transactions.
#[test]
fn a_producer_that_tells_its_former_id_gets_a_new_one_all_the_same() {
    let mut wire = Wire::any();
    let (producer_id, producer_epoch) = wire.producer_id();
    let mut request =
        InitProducerIdRequest { transaction_timeout_ms: i32::MAX, producer_id, producer_epoch, ..Default::default() };
    let answer = wire.ask(&request);
    assert_eq!((answer.error_code, answer.producer_epoch), (ErrorCode::NONE, 0));
    assert_ne!(answer.producer_id, producer_id);
    request.transactional_id = Some(String::new());
    assert_eq!(wire.ask(&request).error_code, ErrorCode::INVALID_REQUEST);
    let half = InitProducerIdRequest { producer_epoch: -1, transactional_id: None, ..request };
    assert_eq!(wire.ask(&half).error_code, ErrorCode::INVALID_REQUEST, "an id without its epoch");
}

/// An answer may be lost; the batch sent again must not be written again.
#[test]
fn a_batch_that_comes_again_is_acknowledged_with_its_old_offset() {
    let (topic, mut wire, producer) = begin("again");
    let batches: Vec<_> = (0..5).map(|index| Batch::of(10).by(producer, index * 10)).collect();
    for (batch, offset) in batches.iter().zip((0..).step_by(10)) {
        assert_eq!(append(&mut wire, &topic, batch), Ok(offset));
        assert_eq!(append(&mut wire, &topic, batch), Ok(offset));
    }
    // The last five are known, over another connection as well.
    let mut other = Wire::leader(&topic, 0);
    for (batch, offset) in batches.iter().zip((0..).step_by(10)) {
        assert_eq!(append(&mut other, &topic, batch), Ok(offset));
    }
    assert_eq!(wire.offset_at(&topic, 0, -1), (ErrorCode::NONE, 50));
}

#[test]
fn a_batch_older_than_the_last_five_is_a_duplicate_without_an_offset() {
    let (topic, mut wire, producer) = begin("old");
    for index in 0..6 {
        assert_eq!(append(&mut wire, &topic, &Batch::of(1).by(producer, index)), Ok(i64::from(index)));
    }
    let forgotten = append(&mut wire, &topic, &Batch::of(1).by(producer, 0));
    assert_eq!(forgotten, Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(append(&mut wire, &topic, &Batch::of(1).by(producer, 1)), Ok(1));
    assert_eq!(wire.offset_at(&topic, 0, -1).1, 6);
}

#[test]
fn a_gap_in_the_sequence_is_refused_and_can_be_filled() {
    let (topic, mut wire, producer) = begin("gap");
    let gap = Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(append(&mut wire, &topic, &Batch::of(2).by(producer, 0)), Ok(0));
    assert_eq!(append(&mut wire, &topic, &Batch::of(2).by(producer, 4)), gap);
    assert_eq!(append(&mut wire, &topic, &Batch::of(2).by(producer, 3)), gap);
    assert_eq!(append(&mut wire, &topic, &Batch::of(1).by(producer, 1)), gap, "half of a known batch");
    assert_eq!(append(&mut wire, &topic, &Batch::of(2).by(producer, 2)), Ok(2));
    assert_eq!(append(&mut wire, &topic, &Batch::of(2).by(producer, 4)), Ok(4));
    assert_eq!(wire.offset_at(&topic, 0, -1).1, 6);
}

/// After the largest sequence number comes 0.
#[test]
fn sequence_numbers_wrap_around() {
    let (topic, mut wire, producer) = begin("wrap");
    assert_eq!(append(&mut wire, &topic, &Batch::of(2).by(producer, i32::MAX - 3)), Ok(0));
    assert_eq!(append(&mut wire, &topic, &Batch::of(4).by(producer, i32::MAX - 1)), Ok(2));
    assert_eq!(append(&mut wire, &topic, &Batch::of(4).by(producer, i32::MAX - 1)), Ok(2));
    assert_eq!(append(&mut wire, &topic, &Batch::of(1).by(producer, 2)), Ok(6));
}

/// The records of that producer may have expired: the partition takes the sequence as it finds it.
#[test]
fn a_producer_that_the_partition_does_not_know_may_begin_anywhere() {
    let (topic, mut wire, (id, _)) = begin("unknown");
    assert_eq!(append(&mut wire, &topic, &Batch::of(1).by((id, 0), 17)), Ok(0));
    assert_eq!(append(&mut wire, &topic, &Batch::of(1).by((id, 0), 18)), Ok(1));
    let second = wire.producer_id();
    assert_eq!(append(&mut wire, &topic, &Batch::of(1).by(second, 0)), Ok(2), "producers do not disturb each other");
    assert_eq!(append(&mut wire, &topic, &Batch::of(1).by((id, 0), 19)), Ok(3));
}

#[test]
fn a_new_epoch_begins_at_0_and_ends_the_old_one() {
    let (topic, mut wire, (id, epoch)) = begin("epochs");
    assert_eq!(append(&mut wire, &topic, &Batch::of(3).by((id, epoch), 0)), Ok(0));
    let skipping = append(&mut wire, &topic, &Batch::of(1).by((id, epoch + 1), 3));
    assert_eq!(skipping, Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(append(&mut wire, &topic, &Batch::of(1).by((id, epoch + 1), 0)), Ok(3));
    let old = append(&mut wire, &topic, &Batch::of(1).by((id, epoch), 3));
    assert_eq!(old, Err(ErrorCode::INVALID_PRODUCER_EPOCH));
    let known = append(&mut wire, &topic, &Batch::of(3).by((id, epoch), 0));
    assert_eq!(known, Err(ErrorCode::INVALID_PRODUCER_EPOCH), "also what is in the log already");
    assert_eq!(append(&mut wire, &topic, &Batch::of(1).by((id, epoch + 1), 1)), Ok(4));
}

#[test]
fn sequences_are_counted_for_each_partition() {
    let topic = Topic::create("each", 2);
    let producer = Wire::any().producer_id();
    for partition in 0..2 {
        let mut wire = Wire::leader(&topic, partition);
        for sequence in 0..2 {
            let answer = wire.produce(&topic, partition, &Batch::of(1).by(producer, sequence).encode());
            assert_eq!((answer.error_code, answer.base_offset), (ErrorCode::NONE, i64::from(sequence)));
        }
    }
}

#[test]
fn damaged_batches_are_refused_and_leave_no_trace() {
    let (topic, mut wire, _) = begin("damaged");
    let good = Batch::of(3).encode();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let signed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = changed(change);
        sign(&mut bytes);
        bytes
    };
    let corrupt = ErrorCode::CORRUPT_MESSAGE;
    let invalid = ErrorCode::INVALID_RECORD;
    let cases = [
        ("wrong checksum", changed(&|bytes| bytes[CRC] ^= 1), corrupt),
        ("a byte of a record flipped", changed(&|bytes| *bytes.last_mut().unwrap() ^= 1), corrupt),
        ("more records than there are", signed(&|bytes| bytes[60] = 4), invalid),
        ("last offset does not fit the count", signed(&|bytes| bytes[26] = 9), invalid),
        ("a control batch of a client", signed(&|bytes| bytes[ATTRIBUTES + 1] |= 0x20), invalid),
        ("two batches in one", [&good[..], &good].concat(), invalid),
    ];
    for (what, bytes, code) in cases {
        assert_eq!(append_bytes(&mut wire, &topic, &bytes), Err(code), "{what}");
    }
    assert_eq!(append_bytes(&mut wire, &topic, &good), Ok(0));
    assert_eq!(wire.offset_at(&topic, 0, -1).1, 3);
}

#[test]
fn a_batch_of_exactly_the_topics_limit_passes_and_one_byte_more_does_not() {
    let topic = Topic::create_with("limit", 1, &[("max.message.bytes", "2000")]);
    let mut wire = Wire::leader(&topic, 0);
    assert_eq!(append(&mut wire, &topic, &Batch::sized(2000)), Ok(0));
    assert_eq!(append(&mut wire, &topic, &Batch::sized(2001)), Err(ErrorCode::MESSAGE_TOO_LARGE));
    assert_eq!(append(&mut wire, &topic, &Batch::sized(1999)), Ok(1));
}

#[test]
fn what_an_append_tells_is_what_the_log_says() {
    let (topic, mut wire, _) = begin("tells");
    let sent = Batch::of(2).encode();
    let versions: Vec<i16> = wire.versions::<ProduceRequest>().collect();
    for (version, offset) in versions.iter().zip((0..).step_by(2)) {
        let answer = wire.produce_in(*version, &topic, 0, &sent);
        assert_eq!(answer.error_code, ErrorCode::NONE, "version {version}");
        assert_eq!((answer.base_offset, answer.log_append_time_ms), (offset, -1), "version {version}");
        assert_eq!(answer.log_start_offset, if *version >= 5 { 0 } else { -1 }, "version {version}");
    }
    // Every batch has its place stamped into it, and nothing else of it is changed.
    let answer = wire.ask(&topic.fetch(0, 0));
    let records = answer.responses[0].partitions[0].records.clone().unwrap();
    assert_eq!(records.len(), sent.len() * versions.len());
    for (batch, offset) in records.chunks(sent.len()).zip((0i64..).step_by(2)) {
        assert_eq!(batch[..8], offset.to_be_bytes());
        assert_eq!(batch[8..12], sent[8..12]);
        assert_eq!(batch[16..], sent[16..]);
    }
}

#[test]
fn impossible_appends_are_refused_one_by_one() {
    let (topic, mut wire, _) = begin("appends");
    let good = Batch::of(1).encode();
    let answer = wire.call(9, &topic.produce(2, 0, &good));
    assert_eq!(answer.responses[0].partition_responses[0].error_code, ErrorCode::INVALID_REQUIRED_ACKS);

    let missing = Topic::missing("appends");
    let unknown = wire.produce_in(12.min(wire.latest::<ProduceRequest>()), &missing, 0, &good);
    assert_eq!(unknown.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(unknown.base_offset, -1);
    let partition = wire.produce(&topic, 77, &good);
    assert_eq!(partition.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    if wire.latest::<ProduceRequest>() >= 13 {
        assert_eq!(wire.produce(&missing, 0, &good).error_code, ErrorCode::UNKNOWN_TOPIC_ID);
    }

    // One that fails does not take the other with it.
    let mut both = topic.produce(-1, 0, &good);
    both.topic_data[0].partition_data.extend(topic.produce(-1, 77, &good).topic_data[0].partition_data.clone());
    let answer = wire.ask(&both);
    let codes = answer.responses[0].partition_responses.iter().map(|found| (found.index, found.error_code));
    let codes: std::collections::BTreeMap<_, _> = codes.collect();
    assert_eq!(codes[&0], ErrorCode::NONE);
    assert_eq!(codes[&77], ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(wire.offset_at(&topic, 0, -1).1, 1);
}

/// With `acks=0` there is no answer, and the next request on the connection is served.
#[test]
fn without_acks_there_is_no_answer() {
    let (topic, mut wire, _) = begin("silent");
    for version in wire.versions::<ProduceRequest>() {
        wire.send(version, &topic.produce(0, 0, &Batch::of(1).encode()));
    }
    let count = wire.versions::<ProduceRequest>().count() as i64;
    crate::support::until("the records", || (wire.offset_at(&topic, 0, -1).1 == count).then_some(()));
}

/// A client learns of it by the connection's end.
#[test]
fn without_acks_a_failure_ends_the_connection() {
    let (topic, mut wire, _) = begin("silent");
    let version = wire.latest::<ProduceRequest>();
    wire.send(version, &topic.produce(0, 77, &Batch::of(1).encode()));
    assert!(wire.answer().is_none());
}

#[test]
fn the_clients_own_idempotence_continues_where_it_was_after_a_refusal() {
    let topic = Topic::create_with("refused", 1, &[("max.message.bytes", "1000")]);
    let producer = kafka().producer(&[]);
    let send = |length: usize| producer.send(krs::Record::to(&topic.name).value(&"x".repeat(length))).unwrap().wait();
    for round in 0..3 {
        assert_eq!(send(10).unwrap().offset(), round * 2);
        assert_eq!(send(2000).unwrap_err().code(), Some(ErrorCode::MESSAGE_TOO_LARGE));
        assert_eq!(send(10).unwrap().offset(), round * 2 + 1);
    }
    producer.close(crate::support::LONG).unwrap();
}

//! DeleteRecords, OffsetForLeaderEpoch and DescribeProducers.

use krs::kafka::protocol::messages::*;

use super::{append, fetch, list_offsets, topic, versions};
use crate::batches::Batch;
use crate::player::{Player, Topic};

pub fn play(player: &mut Player) {
    for version in versions::<DeleteRecordsRequest>() {
        player.pass(version);
        delete(player, version);
    }
    let ended = topic(player, "ended", 2, &[]);
    append(player, &ended, 0, &Batch::of(&["a", "b", "c"]));
    for version in versions::<OffsetForLeaderEpochRequest>() {
        player.pass(version);
        epochs(player, version, &ended);
    }
    player.end_of_passes();
    producers(player);
}

fn delete(player: &mut Player, version: i16) {
    let cut = topic(player, &format!("cut-{version}"), 3, &[]);
    player.mask.know_text(&cut.name, "topic");
    player.mask.know_id(cut.id, "id");
    for _ in 0..4 {
        append(player, &cut, 0, &Batch::of(&["a", "b"]));
        append(player, &cut, 1, &Batch::of(&["a", "b"]));
    }
    let mut ask = |title: &str, partitions: &[(i32, i64)]| {
        player.ask(title, version, &of(&cut.name, partitions));
    };
    ask("up to an offset within a batch", &[(0, 3)]);
    ask("up to where the log starts now", &[(0, 3)]);
    ask("up to an offset before that", &[(0, 1)]);
    ask("beyond the end", &[(0, 9)]);
    ask("an offset of -2", &[(0, -2)]);
    ask("the smallest offset", &[(0, i64::MIN)]);
    ask("a partition that does not exist", &[(9, 1)]);
    ask("a negative partition", &[(-1, 1)]);
    ask("two partitions, one of which does not exist", &[(1, 2), (9, 2)]);
    ask("the same partition twice", &[(1, 3), (1, 4)]);
    ask("an empty partition", &[(2, 0)]);
    ask("no partition", &[]);
    player.ask("a topic that does not exist", version, &of("unknown", &[(0, 1)]));
    player.ask("an internal topic", version, &of("__consumer_offsets", &[(0, 0)]));
    player.ask("no topic", version, &DeleteRecordsRequest { timeout_ms: 1000, ..Default::default() });

    let starts = list_offsets::of(&cut.name, &[(0, -2), (1, -2)]);
    player.ask("after records were deleted", 7, &starts);
    player.ask("after records were deleted, the time 0", 7, &list_offsets::of(&cut.name, &[(0, 0)]));
    player.ask("deleted records", 12, &fetch::of(&cut, &[(0, 1)]));
    player.ask("the first record that is left", 12, &fetch::of(&cut, &[(0, 3)]));
    player.ask("up to the end", version, &of(&cut.name, &[(0, -1)]));
    player.ask("after all records were deleted", 7, &starts);
    player.ask("after all records were deleted", 12, &fetch::of(&cut, &[(0, 8)]));
    player.ask("before the end, after all records were deleted", 12, &fetch::of(&cut, &[(0, 7)]));
    append(player, &cut, 0, &Batch::of(&["c"]));
    player.ask("a record after all others were deleted", 12, &fetch::of(&cut, &[(0, 8)]));
}

fn epochs(player: &mut Player, version: i16, ended: &Topic) {
    let of = |name: &str, partitions: &[(i32, i32, i32)]| {
        let partitions = partitions
            .iter()
            .map(|&(partition, current_leader_epoch, leader_epoch)| OffsetForLeaderPartition {
                partition,
                current_leader_epoch,
                leader_epoch,
            })
            .collect();
        let topics = vec![OffsetForLeaderTopic { topic: name.to_owned(), partitions }];
        OffsetForLeaderEpochRequest { replica_id: -1, topics }
    };
    let name = &*ended.name;
    let mut ask = |title: &str, request: OffsetForLeaderEpochRequest| {
        player.ask(title, version, &request);
    };
    ask("the epoch that is", of(name, &[(0, -1, 0)]));
    ask("the epoch that is, of an empty partition", of(name, &[(1, -1, 0)]));
    ask("the epoch that is, told as the leader's", of(name, &[(0, 0, 0)]));
    ask("an epoch to come", of(name, &[(0, -1, 5)]));
    ask("an epoch of -1", of(name, &[(0, -1, -1)]));
    ask("a leader's epoch to come", of(name, &[(0, 5, 0)]));
    ask("a leader's epoch of -5", of(name, &[(0, -5, 0)]));
    ask("a partition that does not exist", of(name, &[(9, -1, 0)]));
    ask("a topic that does not exist", of("unknown", &[(0, -1, 0)]));
    ask("two partitions, one of which does not exist", of(name, &[(0, -1, 0), (9, -1, 0)]));
    ask("the same partition twice", of(name, &[(0, -1, 0), (0, -1, 5)]));
    ask("no partition", of(name, &[]));
    ask("no topic", OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![] });
    if version >= 3 {
        ask("for debugging", OffsetForLeaderEpochRequest { replica_id: -2, ..of(name, &[(0, -1, 0)]) });
        ask("as a follower", OffsetForLeaderEpochRequest { replica_id: 77, ..of(name, &[(0, -1, 0)]) });
    }
}

fn producers(player: &mut Player) {
    let produced = topic(player, "by-producers", 2, &[]);
    let id = player.quietly(4, &InitProducerIdRequest::default()).producer_id;
    player.mask.know_number("producer_id", id, "producer");
    append(player, &produced, 0, &Batch::of(&["a", "b"]).idempotent(id, 0, 0));
    append(player, &produced, 0, &Batch::of(&["c"]));
    let of = |name: &str, partition_indexes: &[i32]| DescribeProducersRequest {
        topics: vec![DescribeProducersTopic { name: name.to_owned(), partition_indexes: partition_indexes.to_vec() }],
    };
    for (title, request) in [
        ("a partition with a producer and one without", of(&produced.name, &[0, 1])),
        ("a partition that does not exist", of(&produced.name, &[9])),
        ("a topic that does not exist", of("unknown", &[0])),
        ("no partition", of(&produced.name, &[])),
    ] {
        player.ask(title, 0, &request);
    }
}

fn of(name: &str, partitions: &[(i32, i64)]) -> DeleteRecordsRequest {
    let partitions = partitions
        .iter()
        .map(|&(partition_index, offset)| DeleteRecordsPartition { partition_index, offset })
        .collect();
    let topics = vec![DeleteRecordsTopic { name: name.to_owned(), partitions }];
    DeleteRecordsRequest { topics, timeout_ms: 10_000 }
}

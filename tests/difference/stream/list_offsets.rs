//! ListOffsets.

use krs::kafka::protocol::messages::*;

use super::{append, topic, versions};
use crate::batches::{Batch, TIME};
use crate::player::Player;

pub fn play(player: &mut Player) {
    let dated = topic(player, "dated", 2, &[]);
    // The times of the first batch are TIME and TIME + 1000, those of the second one go back and forth.
    append(player, &dated, 0, &Batch::of(&["a", "b"]));
    let mut second = Batch::of(&["c", "d", "e"]);
    second.records[0].0 = TIME + 9000;
    second.records[1].0 = TIME + 5000;
    second.records[2].0 = TIME + 9000;
    append(player, &dated, 0, &second);
    append(player, &dated, 0, &Batch { records: vec![(TIME + 3000, b"f".to_vec())], ..Batch::default() });

    for version in versions::<ListOffsetsRequest>() {
        player.pass(version);
        let name = &*dated.name;
        let mut ask = |title: &str, request: &ListOffsetsRequest| {
            player.ask(title, version, request);
        };
        ask("the ends", &of(name, &[(0, -1), (1, -1)]));
        ask("the starts", &of(name, &[(0, -2), (1, -2)]));
        ask("the largest times", &of(name, &[(0, -3), (1, -3)]));
        ask("the local starts", &of(name, &[(0, -4), (1, -4)]));
        ask("the last offsets in remote storage", &of(name, &[(0, -5), (1, -5)]));
        ask("the first offsets not in remote storage", &of(name, &[(0, -6), (1, -6)]));
        ask("a special time that does not exist", &of(name, &[(0, -7), (1, -99)]));
        for (title, delta) in [
            ("the time of the first record", 0),
            ("a time before all records", -50_000),
            ("a time between two records", 500),
            ("the time of the second record", 1000),
            ("a time between two batches", 2000),
            ("a time within the second batch", 6000),
            ("the largest time", 9000),
            ("a time after all records", 9001),
        ] {
            ask(title, &of(name, &[(0, TIME + delta), (1, TIME + delta)]));
        }
        ask("the time 0", &of(name, &[(0, 0)]));
        ask("the end of a partition that does not exist", &of(name, &[(2, -1)]));
        ask("the end of a negative partition", &of(name, &[(-1, -1)]));
        ask("the end of a topic that does not exist", &of("unknown", &[(0, -1)]));
        ask("the end of a topic without a name", &of("", &[(0, -1)]));
        ask("the same partition twice", &of(name, &[(0, -1), (0, -2), (1, -1)]));
        ask("no partition", &of(name, &[]));
        ask("no topic", &ListOffsetsRequest { topics: vec![], ..of(name, &[]) });
        ask("the end, as a follower", &ListOffsetsRequest { replica_id: 77, ..of(name, &[(0, -1)]) });
        ask("the end, for debugging", &ListOffsetsRequest { replica_id: -2, ..of(name, &[(0, -1)]) });
        if version >= 2 {
            ask("the end of what is committed", &ListOffsetsRequest { isolation_level: 1, ..of(name, &[(0, -1)]) });
            ask(
                "an isolation level that does not exist",
                &ListOffsetsRequest { isolation_level: 5, ..of(name, &[(0, -1)]) },
            );
        }
        if version >= 4 {
            for (title, epoch) in
                [("the leader's epoch", 0), ("an epoch that is still to come", 5), ("an epoch of -5", -5)]
            {
                let mut request = of(name, &[(0, -1)]);
                request.topics[0].partitions[0].current_leader_epoch = epoch;
                ask(title, &request);
            }
        }
    }
}

/// Asks for times of partitions of a topic.
pub fn of(name: &str, partitions: &[(i32, i64)]) -> ListOffsetsRequest {
    let partitions = partitions
        .iter()
        .map(|&(partition_index, timestamp)| ListOffsetsPartition { partition_index, timestamp, ..Default::default() })
        .collect();
    let topics = vec![ListOffsetsTopic { name: name.to_owned(), partitions }];
    ListOffsetsRequest { replica_id: -1, topics, ..Default::default() }
}

//! Fetch, with and without sessions.

use krs::kafka::protocol::messages::*;

use super::{NO_TOPIC, append, topic, versions};
use crate::batches::Batch;
use crate::player::{Player, Topic};

pub fn play(player: &mut Player) {
    let read = topic(player, "read", 3, &[]);
    for i in 0..4 {
        append(player, &read, 0, &Batch::of(&[&format!("a{i}"), &format!("b{i}")]));
    }
    append(player, &read, 1, &Batch::of(&[&"long".repeat(100)]));
    for version in versions::<FetchRequest>() {
        player.pass(version);
        single(player, version, &read);
        if version >= 7 {
            sessions(player, version);
        }
    }
}

fn single(player: &mut Player, version: i16, read: &Topic) {
    let mut ask = |title: &str, request: &FetchRequest| {
        player.ask(title, version, request);
    };
    ask("from the start", &of(read, &[(0, 0)]));
    ask("from the middle of a batch", &of(read, &[(0, 3)]));
    ask("the last record", &of(read, &[(0, 7)]));
    ask("at the end", &of(read, &[(0, 8)]));
    ask("beyond the end", &of(read, &[(0, 9)]));
    ask("before the start", &of(read, &[(0, -1)]));
    ask("an offset of -2", &of(read, &[(0, -2)]));
    ask("the largest offset", &of(read, &[(0, i64::MAX)]));
    ask("an empty partition", &of(read, &[(2, 0)]));
    ask("an empty partition, beyond its end", &of(read, &[(2, 1)]));
    ask("a partition that does not exist", &of(read, &[(3, 0)]));
    ask("a negative partition", &of(read, &[(-1, 0)]));
    let unknown = Topic { name: "unknown".to_owned(), id: NO_TOPIC };
    ask("a topic that does not exist", &of(&unknown, &[(0, 0)]));
    ask("several partitions", &of(read, &[(0, 6), (1, 0), (2, 0)]));
    ask("several partitions, one of which does not exist", &of(read, &[(0, 6), (5, 0)]));
    ask("the same partition twice", &of(read, &[(0, 6), (0, 2)]));
    let mut mixed = of(read, &[(0, 6)]);
    mixed.topics.extend(of(&unknown, &[(0, 0)]).topics);
    ask("two topics, one of which does not exist", &mixed);
    ask("no topic", &FetchRequest { topics: vec![], ..of(read, &[]) });
    let patient = |request: FetchRequest| FetchRequest { min_bytes: 1, max_wait_ms: 15_000, ..request };
    ask("a topic that does not exist, with time to wait", &patient(of(&unknown, &[(0, 0)])));
    ask("a partition that does not exist, with time to wait", &patient(of(read, &[(3, 0)])));
    ask("no topic, with time to wait", &patient(FetchRequest { topics: vec![], ..of(read, &[]) }));
    ask("no partition", &of(read, &[]));
    ask("at most 1 byte", &FetchRequest { max_bytes: 1, ..of(read, &[(0, 2), (1, 0)]) });
    ask("at most 0 bytes", &FetchRequest { max_bytes: 0, ..of(read, &[(0, 2)]) });
    ask("at most 100 bytes", &FetchRequest { max_bytes: 100, ..of(read, &[(0, 0), (1, 0)]) });
    ask("at most 200 bytes", &FetchRequest { max_bytes: 200, ..of(read, &[(0, 0), (1, 0)]) });
    ask("at most 1 byte of each partition", &limited(of(read, &[(0, 2), (1, 0)]), 1));
    ask("at most 0 bytes of each partition", &limited(of(read, &[(0, 2), (1, 0)]), 0));
    ask("at most 100 bytes of each partition", &limited(of(read, &[(0, 0), (1, 0)]), 100));
    ask("at most -1 bytes of each partition", &limited(of(read, &[(0, 2)]), -1));
    ask("only what is committed", &FetchRequest { isolation_level: 1, ..of(read, &[(0, 6)]) });
    ask(
        "more bytes than there are, waiting",
        &FetchRequest { min_bytes: 100_000, max_wait_ms: 50, ..of(read, &[(0, 6)]) },
    );
    ask("at the end, waiting", &FetchRequest { min_bytes: 1, max_wait_ms: 50, ..of(read, &[(0, 8)]) });
    ask(
        "beyond the end, with time to wait",
        &FetchRequest { min_bytes: 1, max_wait_ms: 15_000, ..of(read, &[(0, 9)]) },
    );
    ask(
        "one partition at the end and one that does not exist, waiting",
        &FetchRequest { min_bytes: 1, max_wait_ms: 50, ..of(read, &[(0, 8), (7, 0)]) },
    );
    if version <= 14 {
        ask("as a follower that is none", &FetchRequest { replica_id: 77, ..of(read, &[(0, 6)]) });
    } else {
        ask(
            "as a follower that is none",
            &FetchRequest { replica_state: ReplicaState { replica_id: 77, replica_epoch: 1 }, ..of(read, &[(0, 6)]) },
        );
    }
    if version >= 9 {
        for (title, epoch) in [("the leader's epoch", 0), ("an epoch that is still to come", 5), ("an epoch of -5", -5)]
        {
            let mut request = of(read, &[(0, 6)]);
            request.topics[0].partitions[0].current_leader_epoch = epoch;
            ask(title, &request);
        }
    }
    if version >= 12 {
        for (title, epoch) in [("the last epoch that was read", 0), ("a last epoch that never was", 5)] {
            let mut request = of(read, &[(0, 6)]);
            request.topics[0].partitions[0].last_fetched_epoch = epoch;
            ask(title, &request);
        }
    }
    // What comes while a fetch waits ends its waiting.
    let awaited = topic(player, &format!("awaited-{version}"), 1, &[]);
    player.mask.know_text(&awaited.name, "topic");
    player.mask.know_id(awaited.id, "id");
    let request = FetchRequest { min_bytes: 1, max_wait_ms: 15_000, ..of(&awaited, &[(0, 0)]) };
    let pending = player.send_on("waiting", "waiting for what comes", version, &request);
    append(player, &awaited, 0, &Batch::of(&["a"]));
    player.receive::<FetchRequest>(pending);
}

/// The life of a session, and what does not fit into one.
fn sessions(player: &mut Player, version: i16) {
    let topics = ["session", "other"].map(|name| {
        let topic = topic(player, &format!("{name}-{version}"), 2, &[]);
        player.mask.know_text(&topic.name, name);
        player.mask.know_text(&topic.id.to_string(), &format!("id of {name}"));
        topic
    });
    let [log, other] = &topics;
    append(player, log, 0, &Batch::of(&["a", "b"]));
    let within =
        |session_id, session_epoch, request: FetchRequest| FetchRequest { session_id, session_epoch, ..request };
    let nothing = || FetchRequest { topics: vec![], ..of(log, &[]) };

    let open = |player: &mut Player, title: &str, name: &str, request: FetchRequest| {
        let answer = player.ask_known(&format!("session: {title}"), version, &request, |player, answer| {
            player.mask.know_number("session_id", answer.session_id.into(), name);
        });
        answer.session_id
    };
    let id = open(player, "opened", "session", within(0, 0, of(log, &[(0, 0), (1, 0)])));
    let ask = |player: &mut Player, title: &str, request: FetchRequest| {
        player.ask(&format!("session: {title}"), version, &request);
    };
    ask(player, "nothing new, so what was not read comes again", within(id, 1, nothing()));
    ask(player, "read on", within(id, 2, of(log, &[(0, 2)])));
    ask(player, "nothing new", within(id, 3, nothing()));
    ask(player, "nothing new, waiting", FetchRequest { min_bytes: 1, max_wait_ms: 50, ..within(id, 4, nothing()) });
    append(player, log, 1, &Batch::of(&["c"]));
    ask(player, "one partition has something new", within(id, 5, nothing()));
    ask(player, "a partition more", within(id, 6, of(other, &[(0, 0)])));
    append(player, other, 0, &Batch::of(&["d"]));
    ask(player, "what is new in it", within(id, 7, nothing()));
    let forgotten = ForgottenTopic { topic: log.name.clone(), topic_id: log.id, partitions: vec![1] };
    ask(
        player,
        "a partition less",
        within(id, 8, FetchRequest { forgotten_topics_data: vec![forgotten], ..nothing() }),
    );
    ask(player, "a partition that does not exist", within(id, 9, of(log, &[(7, 0)])));
    ask(player, "that partition once more", within(id, 10, nothing()));
    ask(player, "beyond the end", within(id, 11, of(log, &[(0, 99)])));
    ask(player, "still beyond the end", within(id, 12, nothing()));
    let unknown = Topic { name: "unknown".to_owned(), id: NO_TOPIC };
    ask(player, "a topic that does not exist", within(id, 13, of(&unknown, &[(0, 0)])));
    ask(player, "still a topic that does not exist", within(id, 14, nothing()));
    ask(player, "an epoch that was", within(id, 3, nothing()));
    ask(player, "an epoch that is not yet", within(id, 20, nothing()));
    ask(player, "after the wrong epochs", within(id, 15, nothing()));
    ask(player, "an id that does not exist", within(id.checked_add(1).unwrap_or(1), 1, nothing()));
    ask(player, "no id, but an epoch", within(0, 1, of(log, &[(0, 0)])));
    ask(player, "closed", within(id, -1, of(log, &[(0, 0)])));
    ask(player, "after it was closed", within(id, 16, nothing()));
    ask(player, "closed again", within(id, -1, nothing()));
    let old = open(player, "opened, to be replaced", "old session", within(0, 0, of(log, &[(0, 0)])));
    let new = open(player, "replaced by a new one", "new session", within(old, 0, of(log, &[(0, 0)])));
    ask(player, "the replaced one", within(old, 1, nothing()));
    ask(player, "the new one", within(new, 1, nothing()));
    ask(player, "the new one, closed", within(new, -1, nothing()));
    let empty = open(player, "opened without a partition", "empty session", within(0, 0, nothing()));
    ask(player, "without a partition, closed", within(empty, -1, nothing()));
}

/// Reads partitions of a topic from some offsets on, without waiting.
pub fn of(topic: &Topic, partitions: &[(i32, i64)]) -> FetchRequest {
    let partitions = partitions
        .iter()
        .map(|&(partition, fetch_offset)| FetchPartition {
            partition,
            fetch_offset,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        })
        .collect();
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 0,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic { topic: topic.name.clone(), topic_id: topic.id, partitions }],
        ..Default::default()
    }
}

fn limited(mut request: FetchRequest, partition_max_bytes: i32) -> FetchRequest {
    for partition in request.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        partition.partition_max_bytes = partition_max_bytes;
    }
    request
}

//! What is there after a restart.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use krs::devbroker::DevBroker;
use krs::kafka::protocol::ErrorCode;
use krs::kafka::protocol::messages::*;
use krs::{Admin, Consumer, NewTopic, Producer, TopicPartition};

use crate::support::*;

#[test]
fn topics_messages_and_positions_are_there_after_a_stop() {
    let folder = Folder::new();
    let broker = start(&folder);
    let at = broker.bootstrap();
    create(&at, "one", 1);
    create(&at, "three", 3);
    write(&at, "one", 0, 0..10);
    write(&at, "three", 2, 0..5);
    let group = config(&at, &[("group.id", "readers"), ("auto.offset.reset", "earliest")]);
    let mut consumer = Consumer::connect(&group).unwrap();
    consumer.subscribe(["one"]).unwrap();
    let (until, mut seen) = (Instant::now() + LONG, 0);
    while seen < 10 {
        assert!(Instant::now() < until);
        seen += consumer.poll(Duration::from_millis(200)).unwrap().into_iter().count();
    }
    consumer.commit_offsets(&[(TopicPartition::new("one", 0), 7)]).unwrap();
    consumer.close(LONG).unwrap();
    let before = metadata(&at);
    broker.stop();

    let broker = start(&folder);
    let at = broker.bootstrap();
    let after = metadata(&at);
    assert_eq!(after.cluster_id, before.cluster_id);
    assert_eq!(after.topics.len(), 2);
    for (after, before) in after.topics.iter().zip(&before.topics) {
        assert_eq!((&after.name, after.topic_id), (&before.name, before.topic_id));
        assert_eq!(after.partitions.len(), before.partitions.len());
        for (after, before) in after.partitions.iter().zip(&before.partitions) {
            assert_eq!((after.leader_id, &after.replica_nodes), (1, &before.replica_nodes));
            assert!(after.leader_epoch > before.leader_epoch, "a restart is a new epoch");
        }
    }
    assert_eq!(read(&at, "one", 0), numbered(0..10));
    assert_eq!(read(&at, "three", 0), []);
    assert_eq!(read(&at, "three", 2), numbered(0..5));
    let consumer = Consumer::connect(&config(&at, &[("group.id", "readers")])).unwrap();
    let places = [TopicPartition::new("one", 0), TopicPartition::new("three", 0)];
    assert_eq!(consumer.committed(&places).unwrap(), [Some(7), None]);
    write(&at, "one", 0, 10..12);
    assert_eq!(read(&at, "one", 0), numbered(0..12));
}

#[test]
fn a_batch_that_comes_again_after_a_restart_is_acknowledged_and_not_written() {
    let folder = Folder::new();
    let broker = start(&folder);
    create(&broker.bootstrap(), "topic", 1);
    write(&broker.bootstrap(), "topic", 0, 0..6);
    broker.stop();
    let batches = batches(&folder.segment("topic-0"));
    assert_eq!(batches.len(), 6);

    let broker = start(&folder);
    let at = broker.bootstrap();
    // The last five are remembered, and nothing but the next one follows.
    for (batch, offset) in batches.iter().zip(0..).skip(1) {
        assert_eq!(produce(&at, "topic", 0, batch), (ErrorCode::NONE, offset));
    }
    let (code, _) = produce(&at, "topic", 0, &batches[0]);
    assert!(code == ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER || code == ErrorCode::DUPLICATE_SEQUENCE_NUMBER, "{code}");
    assert_eq!(read(&at, "topic", 0), numbered(0..6));
}

#[test]
fn a_producer_id_is_given_out_once() {
    let folder = Folder::new();
    let mut last = -1;
    for _ in 0..3 {
        let program = Program::start(&folder.data(), "127.0.0.1:0");
        for _ in 0..2 {
            let id = producer_id(&program.address);
            assert!(id > last, "{id} after {last}");
            last = id;
        }
        program.kill();
    }
}

/// The whole of it at once: an idempotent producer at work while the broker is killed and comes back, twice.

#[test]
fn what_was_acknowledged_before_a_kill_is_there_and_a_producer_goes_on_without_duplicates() {
    const COUNT: usize = 6000;
    let folder = Folder::new();
    let mut program = Program::start(&folder.data(), "127.0.0.1:0");
    let at = program.address.clone();
    create(&at, "topic", 1);
    let settings = [("message.timeout.ms", "60000"), ("request.timeout.ms", "5000"), ("batch.size", "2000")];
    let producer = Producer::connect(&config(&at, &settings)).unwrap();
    let (acknowledged, over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (sent, deliveries) = std::sync::mpsc::channel();
        scope.spawn(move || {
            for value in 0..COUNT {
                sent.send(send(&producer, "topic", 0, &value.to_string())).unwrap();
            }
            producer.close(LONG).unwrap();
        });
        scope.spawn(|| {
            for delivery in deliveries {
                acknowledged.lock().unwrap().push(delivery.wait().unwrap().offset());
            }
            over.store(true, Ordering::SeqCst);
        });
        for so_far in [100, 2000] {
            while acknowledged.lock().unwrap().len() < so_far && !over.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            program.child.kill().unwrap();
            program.child.wait().unwrap();
            program = Program::start(&folder.data(), &at);
        }
    });
    let offsets = acknowledged.into_inner().unwrap();
    assert_eq!(offsets, (0..COUNT as i64).collect::<Vec<_>>());
    assert_eq!(read(&at, "topic", 0), numbered(0..COUNT));
}

#[test]
fn what_is_beyond_the_limit_of_the_process_leaves_the_disk_and_stays_away() {
    let folder = Folder::new();
    let mut options = options(&folder.data());
    options.retention_bytes = 4 << 20;
    let broker = DevBroker::start(options.clone()).unwrap();
    let at = broker.bootstrap();
    create(&at, "old", 1);
    create(&at, "new", 1);
    write(&at, "old", 0, 0..3);
    let producer = Producer::connect(&config(&at, &[("batch.size", "900000")])).unwrap();
    let large = "x".repeat(800_000);
    // More than one segment, 16 MiB, and more than the limit many times over.
    for _ in 0..50 {
        send(&producer, "new", 0, &large).wait().unwrap();
    }
    drop(producer);
    let size = |partition: &str| -> u64 {
        let files = fs::read_dir(folder.data().join(partition)).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    assert!(size("new-0") < 33 << 20, "{}", size("new-0"));
    let (start, end) = (offset(&at, "new", 0, -2), offset(&at, "new", 0, -1));
    assert!(start > 40, "{start}");
    assert_eq!((offset(&at, "old", 0, -2), offset(&at, "old", 0, -1), end), (3, 3, 50));
    broker.stop();

    let broker = DevBroker::start(options.clone()).unwrap();
    let at = broker.bootstrap();
    assert_eq!((offset(&at, "new", 0, -2), offset(&at, "new", 0, -1)), (start, end));
    assert_eq!((offset(&at, "old", 0, -2), offset(&at, "old", 0, -1)), (3, 3));
    assert!(size("old-0") < 200, "its batches are gone: {}", size("old-0"));
    write(&at, "old", 0, 3..4);
    broker.stop();

    options.retention_bytes = 2 << 20;
    let broker = DevBroker::start(options).unwrap();
    let at = broker.bootstrap();
    assert!(offset(&at, "new", 0, -2) > start, "a smaller limit holds for what is read back, too");
    assert_eq!(offset(&at, "new", 0, -1), end);
}

#[test]
fn more_partitions_than_files_stay_open_are_all_kept() {
    let folder = Folder::new();
    let broker = start(&folder);
    create(&broker.bootstrap(), "wide", 300);
    for round in 0..2 {
        let producer = Producer::connect(&config(&broker.bootstrap(), &[])).unwrap();
        let sent: Vec<_> = (0..300).map(|partition| send(&producer, "wide", partition, &round.to_string())).collect();
        sent.iter().for_each(|delivery| assert_eq!(delivery.wait().unwrap().offset(), round));
    }
    broker.stop();
    let broker = start(&folder);
    for partition in [0, 100, 299] {
        assert_eq!(read(&broker.bootstrap(), "wide", partition), numbered(0..2));
    }
}

#[test]
fn several_brokers_lead_after_a_restart_as_before() {
    let folder = Folder::new();
    let mut options = options(&folder.data());
    options.brokers = 3;
    let broker = DevBroker::start(options.clone()).unwrap();
    create_on(&broker.bootstrap(), "topic", 6, 2);
    let leaders = |broker: &DevBroker| -> Vec<(i32, usize)> {
        let metadata = metadata(&broker.bootstrap());
        let partitions = metadata.topics[0].partitions.iter();
        partitions.map(|partition| (partition.leader_id, partition.isr_nodes.len())).collect()
    };
    let before = leaders(&broker);
    for id in 1..=3 {
        assert_eq!(before.iter().filter(|(leader, _)| *leader == id).count(), 2, "{before:?}");
    }
    broker.stop();
    let broker = DevBroker::start(options.clone()).unwrap();
    assert_eq!(leaders(&broker), before);
    broker.stop();
    // Brokers that are not there any more lead nothing.
    options.brokers = 1;
    let broker = DevBroker::start(options).unwrap();
    assert!(leaders(&broker).iter().all(|(leader, _)| [1, -1].contains(leader)), "{:?}", leaders(&broker));
}

/// Deletes what lies before an offset, and returns where the log starts then.
fn delete_records(at: &str, topic: &str, offset: i64) -> i64 {
    let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset }];
    let topics = vec![DeleteRecordsTopic { name: topic.to_owned(), partitions }];
    let answer = ask(at, 2, &DeleteRecordsRequest { topics, timeout_ms: 30_000 });
    let found = &answer.topics[0].partitions[0];
    assert_eq!(found.error_code, ErrorCode::NONE);
    found.low_watermark
}

#[test]
fn where_a_log_starts_after_records_were_deleted_is_known_after_a_kill() {
    let folder = Folder::new();
    let program = Program::start(&folder.data(), "127.0.0.1:0");
    create(&program.address, "topic", 1);
    write(&program.address, "topic", 0, 0..6);
    assert_eq!(delete_records(&program.address, "topic", 4), 4);
    program.kill();

    let program = Program::start(&folder.data(), "127.0.0.1:0");
    assert_eq!(offset(&program.address, "topic", 0, -2), 4);
    assert_eq!(read(&program.address, "topic", 0), [(4, 4), (5, 5)]);
    assert_eq!(delete_records(&program.address, "topic", -1), 6);
    assert!(!folder.segment("topic-0").exists(), "nothing in it is needed");
    program.kill();

    let program = Program::start(&folder.data(), "127.0.0.1:0");
    let at = &program.address;
    assert_eq!((offset(at, "topic", 0, -2), offset(at, "topic", 0, -1)), (6, 6));
    write(at, "topic", 0, 6..8);
    assert_eq!(read(at, "topic", 0), [(6, 6), (7, 7)]);
}

#[test]
fn a_deleted_topic_is_gone_after_a_kill_with_its_files_and_the_positions_in_it() {
    let folder = Folder::new();
    let program = Program::start(&folder.data(), "127.0.0.1:0");
    let at = program.address.clone();
    for topic in ["gone", "kept"] {
        create(&at, topic, 1);
        write(&at, topic, 0, 0..3);
    }
    let places = [TopicPartition::new("gone", 0), TopicPartition::new("kept", 0)];
    let reader = |at: &str| Consumer::connect(&config(at, &[("group.id", "readers")])).unwrap();
    reader(&at).commit_offsets(&[(places[0].clone(), 1), (places[1].clone(), 2)]).unwrap();
    let old = topic_id(&at, "gone");
    let topic_names = vec!["gone".to_owned()];
    let answer = ask(&at, 4, &DeleteTopicsRequest { topic_names, timeout_ms: 30_000, ..Default::default() });
    assert_eq!(answer.responses[0].error_code, ErrorCode::NONE);
    program.kill();
    assert!(!folder.data().join("gone-0").exists());

    let program = Program::start(&folder.data(), "127.0.0.1:0");
    let at = program.address.clone();
    let names: Vec<_> = metadata(&at).topics.into_iter().filter_map(|topic| topic.name).collect();
    assert_eq!(names, ["kept"]);
    create(&at, "gone", 1);
    assert_ne!(topic_id(&at, "gone"), old);
    assert_eq!(reader(&at).committed(&places).unwrap(), [None, Some(2)]);
    write(&at, "gone", 0, 0..1);
    program.kill();
    let broker = start(&folder);
    assert_eq!(read(&broker.bootstrap(), "gone", 0), numbered(0..1));
}

/// The deletion of a topic and the start of another of its name may be interrupted in between.
#[test]
fn what_is_left_of_an_older_topic_is_not_the_newer_ones() {
    let folder = Folder::new();
    let broker = start(&folder);
    create(&broker.bootstrap(), "topic", 2);
    write(&broker.bootstrap(), "topic", 0, 0..3);
    write(&broker.bootstrap(), "topic", 1, 0..3);
    broker.stop();
    let list = folder.data().join("topics.txt");
    let id = "AAAAAAAAAAAAAAAAAAAAAQ";
    let text: Vec<String> = fs::read_to_string(&list).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(text.len(), 3);
    fs::write(&list, format!("topic topic {id}\npartition 1\n")).unwrap();
    fs::write(folder.data().join("topic-1").join("note.txt"), "mine").unwrap();

    let broker = start(&folder);
    let at = broker.bootstrap();
    assert_eq!(topic_id(&at, "topic").to_string(), id);
    assert_eq!(read(&at, "topic", 0), []);
    write(&at, "topic", 0, 0..1);
    assert_eq!(read(&at, "topic", 0), numbered(0..1));
    // It has one partition now; of what nobody wrote nothing is deleted.
    let left: Vec<_> =
        fs::read_dir(folder.data().join("topic-1")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["note.txt"]);
}

#[test]
fn settings_and_partitions_that_changed_are_there_after_a_kill() {
    let folder = Folder::new();
    let program = Program::start(&folder.data(), "127.0.0.1:0");
    let at = program.address.clone();
    let configs = [("retention.ms", "7200000"), ("cleanup.policy", "compact,delete")];
    let topic = NewTopic { name: "topic", partitions: 1, replication_factor: 1, configs: &configs };
    Admin::connect(&config(&at, &[])).unwrap().create_topic(&topic).unwrap();
    let set = |name: &str, value: &str| IncrementalAlterableConfig {
        name: name.to_owned(),
        config_operation: 0,
        value: Some(value.to_owned()),
    };
    let resource = IncrementalAlterConfigsResource {
        resource_type: 2,
        resource_name: "topic".to_owned(),
        configs: vec![set("max.message.bytes", "5000"), set("retention.ms", "3600000")],
    };
    let answer = ask(&at, 1, &IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false });
    assert_eq!(answer.responses[0].error_code, ErrorCode::NONE);
    let topics = vec![CreatePartitionsTopic { name: "topic".to_owned(), count: 3, assignments: None }];
    let answer = ask(&at, 3, &CreatePartitionsRequest { topics, timeout_ms: 30_000, validate_only: false });
    assert_eq!(answer.results[0].error_code, ErrorCode::NONE);
    program.kill();

    let broker = start(&folder);
    let at = broker.bootstrap();
    assert_eq!(metadata(&at).topics[0].partitions.len(), 3);
    let names = ["retention.ms", "cleanup.policy", "max.message.bytes"];
    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: "topic".to_owned(),
        configuration_keys: Some(names.map(str::to_owned).to_vec()),
    };
    let answer = ask(&at, 4, &DescribeConfigsRequest { resources: vec![resource], ..Default::default() });
    let values = answer.results[0].configs.iter();
    let values: BTreeMap<_, _> =
        values.map(|config| (config.name.as_str(), config.value.as_deref().unwrap())).collect();
    let expected = [("retention.ms", "3600000"), ("cleanup.policy", "compact,delete"), ("max.message.bytes", "5000")];
    assert_eq!(values, BTreeMap::from(expected));
}

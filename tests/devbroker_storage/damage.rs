//! Logs that break off or are broken, and disks that are full.

use std::fs;
use std::process::Command;
use std::time::Instant;

use krs::Producer;
use krs::kafka::protocol::Uuid;

use crate::support::*;

#[test]
fn a_log_that_is_cut_anywhere_has_its_whole_batches_and_goes_on_behind_them() {
    let folder = Folder::new();
    let broker = start(&folder);
    create(&broker.bootstrap(), "topic", 1);
    write(&broker.bootstrap(), "topic", 0, 0..3);
    broker.stop();
    let segment = folder.segment("topic-0");
    let whole = fs::read(&segment).unwrap();
    let sizes: Vec<usize> = batches(&segment).iter().map(Vec::len).collect();
    let third = sizes[0] + sizes[1];
    for cut in third..whole.len() {
        fs::write(&segment, &whole[..cut]).unwrap();
        let broker = start(&folder);
        let at = broker.bootstrap();
        assert_eq!(offset(&at, "topic", 0, -1), 2, "cut at {cut}");
        assert_eq!(fs::metadata(&segment).unwrap().len(), third as u64, "cut at {cut}");
        if cut % 16 == 0 {
            write(&at, "topic", 0, 2..4);
            broker.stop();
            let broker = start(&folder);
            assert_eq!(read(&broker.bootstrap(), "topic", 0), numbered(0..4), "cut at {cut}");
        }
    }
}

#[test]
fn a_log_that_is_broken_in_the_middle_ends_there_and_a_warning_says_where() {
    let folder = Folder::new();
    let program = Program::start(&folder.data(), "127.0.0.1:0");
    create(&program.address, "topic", 1);
    write(&program.address, "topic", 0, 0..3);
    program.kill();
    let segment = folder.segment("topic-0");
    let first = batches(&segment)[0].len();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[first + 65] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let program = Program::start(&folder.data(), "127.0.0.1:0");
    assert_eq!(read(&program.address, "topic", 0), numbered(0..1));
    write(&program.address, "topic", 0, 1..3);
    assert_eq!(read(&program.address, "topic", 0), numbered(0..3));
    let errors = program.kill();
    let warning = format!("{} is cut off at byte {first}, offset 1: ", segment.display());
    assert!(errors.contains(&warning) && errors.contains("CRC-32C"), "{errors}");
}

/// A file cannot grow beyond a limit of the process, which fails as a full disk does: in the middle of a write.
#[test]
fn a_write_that_fails_is_not_acknowledged_and_leaves_the_log_readable() {
    let folder = Folder::new();
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_krs")]);
    limited.args(["broker", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.data());
    let program = Program::run(limited);
    let at = program.address.clone();
    create(&at, "topic", 2);
    let settings = [("message.timeout.ms", "2000"), ("retry.backoff.ms", "50")];
    let producer = Producer::connect(&config(&at, &settings)).unwrap();
    let padding = "0".repeat(2000);
    let (mut acknowledged, until) = (0, Instant::now() + LONG);
    let error = loop {
        assert!(Instant::now() < until);
        let value = format!("{padding}{acknowledged}");
        match send(&producer, "topic", 0, &value).wait() {
            Ok(place) => assert_eq!(place.offset(), acknowledged),
            Err(error) => break error,
        }
        acknowledged += 1;
    };
    assert!(error.to_string().contains("KAFKA_STORAGE_ERROR"), "{error}");
    assert!(acknowledged > 10, "{acknowledged}");
    drop(producer);
    // The rest of the broker goes on.
    let count = acknowledged as usize;
    assert_eq!(read(&at, "topic", 0), numbered(0..count));
    write(&at, "topic", 1, 0..2);
    // What was half written has not taken the room of what is smaller.
    write(&at, "topic", 0, count..count + 1);
    let count = count + 1;
    assert_eq!(read(&at, "topic", 0), numbered(0..count));
    let errors = program.kill();
    let said = errors.lines().filter(|line| line.contains("ERROR") && line.contains("cannot write")).count();
    assert_eq!(said, 1, "{errors}");

    // With room again, it goes on where it was.
    let broker = start(&folder);
    let at = broker.bootstrap();
    assert_eq!(read(&at, "topic", 0), numbered(0..count));
    write(&at, "topic", 0, count..count + 2);
    assert_eq!(read(&at, "topic", 0), numbered(0..count + 2));
    assert_eq!(read(&at, "topic", 1), numbered(0..2));
    assert_ne!(topic_id(&at, "topic"), Uuid::ZERO);
}

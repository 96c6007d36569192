//! Batches that the Java client wrote.

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    let line = include_str!("../testdata/java.txt").lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let hex = line.expect("a fixture of this name");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn written() -> Vec<(i64, Owned)> {
    let mut records = [
        owned(1_700_000_000_000, Some("key"), Some("hello")),
        owned(1_699_999_999_000, None, Some("grüße, мир")),
        owned(1_700_003_600_123, Some("tombstone"), None),
        owned(1_705_000_000_000, Some(""), Some("")),
        Owned {
            value: Some((0..300).map(|index| (index % 7) as u8).collect()),
            ..owned(1_700_000_000_001, None, None)
        },
    ];
    records[1].headers =
        vec![("trace".into(), Some(b"abc".to_vec())), ("none".into(), None), ("".into(), Some(Vec::new()))];
    (100..).zip(records).collect()
}

#[track_caller]
fn check(name: &str, compression: Compression) {
    let bytes = fixture(name);
    assert_eq!(batches(&bytes).next().unwrap().unwrap().header().compression, compression);
    let batch = only(&bytes).unwrap();
    assert_eq!(contents(&batch), written());
    let header = batch.header();
    assert_eq!((batch.base_offset(), batch.last_offset(), batch.count()), (100, 104, 5));
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (4242, 7, 11));
    assert_eq!((header.leader_epoch, header.compression), (3, Compression::None));
    assert!(!batch.is_control() && batch.append_time().is_none());
}

#[test]
fn plain() {
    check("NONE", Compression::None);
}

#[cfg(feature = "compression")]
#[test]
fn in_every_codec() {
    for codec in Compression::ALL {
        check(&codec.name().to_uppercase(), codec);
    }
}

#[cfg(feature = "compression")]
#[test]
fn over_several_blocks_of_every_codec() {
    for codec in &Compression::ALL[1..] {
        let batch = only(&fixture(&format!("LARGE_{}", codec.name().to_uppercase()))).unwrap();
        assert_eq!(batch.count(), 40);
        for (offset, record) in contents(&batch) {
            assert_eq!(record, owned(1_700_000_000_000 + offset, None, Some(&format!("block {offset} ").repeat(300))));
        }
    }
}

/// The same records give the same bytes, save for what the broker and the producer fill in.
#[test]
fn ours_are_byte_for_byte_the_same() {
    let records: Vec<_> = written().into_iter().map(|(_, record)| record).collect();
    let mut ours = build(&records, Compression::None);
    stamp(&mut ours, 4242, 7, 11);
    patch(&mut ours, field::BASE_OFFSET, 100i64.to_be_bytes());
    patch(&mut ours, field::LEADER_EPOCH, 3i32.to_be_bytes());
    assert_eq!(ours, fixture("NONE"));
}

#[test]
fn with_the_brokers_time() {
    let batch = only(&fixture("LOG_APPEND")).unwrap();
    assert_eq!(batch.append_time(), Some(1_700_000_009_999));
    assert_eq!(batch.records().map(|record| record.timestamp).collect::<Vec<_>>(), [1_700_000_009_999; 5]);
}

#[test]
fn control_batches_are_marked() {
    let batch = only(&fixture("CONTROL")).unwrap();
    assert!(batch.is_control());
    assert_eq!((batch.base_offset(), batch.last_offset(), batch.count()), (7, 7, 1));
}

#[test]
fn a_batch_that_compaction_emptied_still_moves_the_offset() {
    let batch = only(&fixture("EMPTY")).unwrap();
    assert_eq!((batch.base_offset(), batch.last_offset(), batch.count()), (100, 104, 0));
    assert!(batch.records().next().is_none());
}

#[test]
fn compaction_leaves_gaps() {
    let batch = only(&fixture("COMPACTED")).unwrap();
    assert_eq!(batch.records().map(|record| record.offset).collect::<Vec<_>>(), [102, 104]);
    assert_eq!(batch.last_offset(), 106);
}

#[test]
fn older_formats_are_refused_by_name() {
    for magic in 0..2 {
        let error =
            refused(only(&fixture(&format!("MAGIC{magic}"))), &format!("message format v{magic} not supported"));
        assert_eq!(error.kind(), ErrorKind::Protocol);
    }
}

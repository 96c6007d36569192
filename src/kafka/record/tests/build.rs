//! What is built comes back.

use super::*;

proptest! {
    #[test]
    fn any_records_survive(records in vec(record(any::<i64>()), 1..40)) {
        let bytes = build(&records, Compression::None);
        let batch = only(&bytes).unwrap();
        let expected: Vec<_> = (0..).zip(records.iter().cloned()).collect();
        prop_assert_eq!(contents(&batch), expected);
        prop_assert_eq!(batch.last_offset(), records.len() as i64 - 1);
        prop_assert_eq!(batch.header().max_timestamp, records.iter().map(|record| record.timestamp).max().unwrap());
        prop_assert_eq!(batch.header().base_timestamp, records[0].timestamp);
    }

    #[test]
    fn a_buffer_without_room_to_spare_gives_the_same_bytes(records in vec(record(any::<i64>()), 1..10)) {
        let mut tight = BatchBuilder::new(Vec::new());
        for record in &records {
            let mut longer = tight.clone();
            append(&mut longer, record);
            tight.reserve(longer.len() - tight.len());
            append(&mut tight, record);
            prop_assert_eq!(tight.capacity(), tight.len());
        }
        let mut tight = tight.close(Compression::None).unwrap();
        stamp(&mut tight, -1, -1, -1);
        prop_assert_eq!(tight, build(&records, Compression::None));
    }
}

#[test]
fn nulls_empties_and_tombstones_stay_apart() {
    let mut record = owned(1, None, Some(""));
    record.headers = vec![("".into(), None), ("a".into(), Some(vec![])), ("a".into(), Some(b"twice".to_vec()))];
    let records = [record, owned(2, Some(""), None), owned(3, Some("key"), None), owned(4, None, None)];
    let found = contents(&only(&build(&records, Compression::None)).unwrap());
    assert_eq!(found, (0..).zip(records).collect::<Vec<_>>());
}

/// A timestamp delta beyond 32 bits and a negative one, which other clients have got wrong.
#[test]
fn timestamps_may_lie_far_apart_and_go_backwards() {
    let times = [1_700_000_000_000, 1_700_000_000_000 + (1 << 40), 0, -1, i64::MAX, i64::MIN];
    let records = times.map(|time| owned(time, None, Some("x")));
    let found = contents(&only(&build(&records, Compression::None)).unwrap());
    assert_eq!(found.into_iter().map(|(_, record)| record.timestamp).collect::<Vec<_>>(), times);
}

#[test]
fn blobs_of_every_small_size_survive() {
    let records: Vec<_> = (0..600)
        .map(|size| {
            let blob: Vec<u8> = (0..size).map(|index| (index * 7 + size) as u8).collect();
            Owned { timestamp: 0, key: Some(blob.clone()), value: Some(blob), headers: Vec::new() }
        })
        .collect();
    let found = contents(&only(&build(&records, Compression::None)).unwrap());
    assert!(found.into_iter().map(|(_, record)| record).eq(records));
}

#[test]
fn a_batch_knows_its_size_count_and_times_while_it_fills() {
    let mut builder = BatchBuilder::new(b"left over".to_vec());
    assert_eq!((builder.len(), builder.count()), (HEADER_LEN, 0));
    assert_eq!((builder.first_timestamp(), builder.max_timestamp()), (None, None));
    append(&mut builder, &owned(50, None, Some("hello")));
    append(&mut builder, &owned(70, None, Some("hello")));
    append(&mut builder, &owned(60, None, Some("hello")));
    assert_eq!(builder.count(), 3);
    assert_eq!((builder.first_timestamp(), builder.max_timestamp()), (Some(50), Some(70)));
    let size = builder.len();
    assert_eq!(builder.close(Compression::None).unwrap().len(), size);
}

#[test]
fn appending_stops_at_the_limit_and_changes_nothing_then() {
    let mut builder = BatchBuilder::new(Vec::new());
    let size = builder.size_after(None, Some(b"12345"), &[], 0);
    assert!(!builder.try_append(size - 1, None, Some(b"12345"), &[], 0).unwrap());
    assert_eq!((builder.len(), builder.count(), builder.max_timestamp()), (HEADER_LEN, 0, None));
    assert!(builder.try_append(size, None, Some(b"12345"), &[], 0).unwrap());
    assert_eq!(builder.len(), size);
}

#[test]
fn what_the_format_cannot_count_is_refused() {
    // The same mebibyte 2048 times is 2 GiB, of which nothing is copied before it is refused.
    let large = vec![0; 1 << 20];
    let headers = vec![Header::new("h", &large); 2048];
    let mut builder = BatchBuilder::new(Vec::new());
    assert!(builder.size_after(None, None, &headers, 0) > i32::MAX as usize);
    let error = refused(builder.append(None, None, &headers, 0), "does not fit");
    assert_eq!(error.kind(), ErrorKind::Config);
    refused(builder.try_append(usize::MAX, None, None, &headers, 0), "does not fit");
    assert!(builder.count() == 0 && builder.len() == HEADER_LEN);
}

#[test]
fn stamping_sets_the_sequence_and_may_be_repeated() {
    let mut bytes = build(&[owned(0, None, Some("x"))], Compression::None);
    for (id, epoch, sequence) in [(4242, 7, 11), (4242, 8, 0), (-1, -1, -1)] {
        stamp(&mut bytes, id, epoch, sequence);
        let batch = only(&bytes).unwrap();
        let header = batch.header();
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (id, epoch, sequence));
        assert_eq!((header.leader_epoch, header.attributes), (-1, 0));
    }
}

#[test]
fn a_record_is_what_was_said_of_it() {
    let headers = [Header::new("a", "1"), Header { key: "b", value: None }];
    let record = Record::to("t").partition(3).key("k").value(&[1u8, 2][..]).headers(&headers).timestamp(9);
    assert_eq!((record.topic(), record.partition_asked(), record.timestamp_given()), ("t", Some(3), Some(9)));
    assert_eq!((record.key_bytes(), record.value_bytes()), (Some(&b"k"[..]), Some(&[1, 2][..])));
    let record = record.header("c", b"3");
    assert_eq!(record.header_list(), [headers[0], headers[1], Header::new("c", "3")]);
    assert_eq!(Record::to("t").key(&String::from("owned")).value_bytes(), None);
}

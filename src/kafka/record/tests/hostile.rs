//! Bytes that are broken, cut or made up.

use super::super::fuzz;
use super::*;

fn sample() -> Vec<u8> {
    let mut record = owned(1_700_000_000_000, Some("key"), Some("a value"));
    record.headers = vec![("h".into(), Some(b"v".to_vec()))];
    build(&[record, owned(1_700_000_000_300, None, None)], Compression::None)
}

/// A batch of one record with these bytes behind its length field.
fn with_record(body: &[u8]) -> Vec<u8> {
    let mut bytes = build(&[owned(0, None, None)], Compression::None);
    bytes.truncate(HEADER_LEN);
    bytes.push((body.len() * 2) as u8);
    bytes.extend_from_slice(body);
    let length = (bytes.len() - field::LENGTH_END) as i32;
    patch(&mut bytes, field::LENGTH, length.to_be_bytes());
    bytes
}

#[test]
fn a_wrong_checksum_is_found() {
    let mut bytes = sample();
    *bytes.last_mut().unwrap() ^= 1;
    let error = refused(only(&bytes), "CRC-32C");
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(0)));
}

#[test]
fn every_flipped_bit_behind_the_checksum_is_found() {
    let bytes = sample();
    for bit in field::ATTRIBUTES * 8..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let found = batches(&flipped).next().unwrap().and_then(|batch| batch.check_crc());
        assert_eq!(found.unwrap_err().kind(), ErrorKind::Corrupt, "bit {bit}");
    }
}

#[test]
fn headers_that_make_no_sense_are_refused() {
    let cases: [(usize, &[u8], &str); 13] = [
        (field::LENGTH, &(-1i32).to_be_bytes(), "length is -1"),
        (field::LENGTH, &48i32.to_be_bytes(), "length is 48"),
        (field::MAGIC, &[3], "unknown message format v3"),
        (field::MAGIC, &[255], "unknown message format v255"),
        (field::MAGIC, &[1], "v1 not supported"),
        (field::ATTRIBUTES, &7i16.to_be_bytes(), "codec 7"),
        (field::BASE_OFFSET, &(-1i64).to_be_bytes(), "offsets from -1"),
        (field::BASE_OFFSET, &i64::MAX.to_be_bytes(), "offsets from"),
        (field::LAST_OFFSET_DELTA, &(-1i32).to_be_bytes(), "and -1 on"),
        (field::COUNT, &(-1i32).to_be_bytes(), "-1 records"),
        (field::COUNT, &3i32.to_be_bytes(), "3 records in 2 offsets"),
        (field::COUNT, &i32::MAX.to_be_bytes(), "2147483647 records"),
        (field::COUNT, &1i32.to_be_bytes(), "bytes behind the last record"),
    ];
    for (at, value, words) in cases {
        let mut bytes = sample();
        bytes[at..at + value.len()].copy_from_slice(value);
        patch::<0>(&mut bytes, 0, []);
        refused(only(&bytes), words);
    }
    let mut bytes = sample();
    patch(&mut bytes, field::LAST_OFFSET_DELTA, 5000i32.to_be_bytes());
    patch(&mut bytes, field::COUNT, 4000i32.to_be_bytes());
    refused(only(&bytes), "4000 records in");
}

#[test]
fn records_that_break_a_rule_are_refused() {
    // Attributes, timestamp delta, offset delta, key length, value length, header count.
    assert!(only(&with_record(&[0, 0, 0, 1, 1, 0])).is_ok());
    let cases: [(&[u8], &str); 16] = [
        (&[], "1 records in"),
        (&[0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 1, 0], "a broken timestamp"),
        (&[0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 1, 0], "a broken offset delta"),
        (&[0, 0, 1, 1, 1, 0], "offset delta -1"),
        (&[0, 0, 2, 1, 1, 0], "offset delta 1"),
        (&[0, 0, 0, 3, 1, 0], "a broken key"),
        (&[0, 0, 0, 8, 1, 0], "a broken key"),
        (&[0, 0, 0, 1, 5, 0], "a broken value"),
        (&[0, 0, 0, 1, 4, 0], "a broken value"),
        (&[0, 0, 0, 1, 1, 1], "an impossible header count"),
        (&[0, 0, 0, 1, 1, 0x80, 0x89, 0x7a], "an impossible header count"),
        (&[0, 0, 0, 1, 1, 2, 1, 1], "a header without a key"),
        (&[0, 0, 0, 1, 1, 2, 4, 1], "a broken header key"),
        (&[0, 0, 0, 1, 1, 2, 0, 2], "a broken header value"),
        (&[0, 0, 0, 1, 1, 0, 9], "bytes behind its end"),
        (&[0, 0, 0, 1, 1, 2, 0, 1, 9], "bytes behind its end"),
    ];
    for (body, words) in cases {
        refused(only(&with_record(body)), words);
    }
    let mut longer = with_record(&[0, 0, 0, 1, 1, 0]);
    patch(&mut longer, HEADER_LEN, [14]);
    refused(only(&longer), "longer than the batch");
    patch(&mut longer, HEADER_LEN, [10]);
    refused(only(&longer), "a broken header count");
    patch(&mut longer, HEADER_LEN, [1]);
    refused(only(&longer), "a negative length");
    patch(&mut longer, HEADER_LEN, [0]);
    refused(only(&longer), "an empty record");
    patch(&mut longer, HEADER_LEN, [0x80; 5]);
    refused(only(&longer), "a broken length");
}

#[test]
fn offsets_within_a_batch_must_rise() {
    let mut bytes = build(&[owned(0, None, None), owned(0, None, None)], Compression::None);
    let second = HEADER_LEN + 7;
    patch(&mut bytes, second + 3, [0]);
    refused(only(&bytes), "offset delta 0 after 0");
}

#[test]
fn a_cut_last_batch_ends_the_batches_and_a_cut_within_is_an_error() {
    let one = sample();
    let mut two = one.clone();
    two.extend_from_slice(&one);
    for cut in one.len()..two.len() {
        let mut all = batches(&two[..cut]);
        assert_eq!(all.by_ref().map(|batch| batch.unwrap().count()).sum::<i32>(), 2, "cut at {cut}");
        assert_eq!(all.rest(), cut - one.len());
    }
    for cut in 1..one.len() {
        let mut within = one[..cut].to_vec();
        within.extend_from_slice(&one);
        within.extend_from_slice(&one);
        let whole = batches(&within).try_for_each(|batch| batch.and_then(|batch| batch.check_crc()));
        assert!(whole.is_err(), "cut at {cut}");
    }
}

#[test]
fn nothing_follows_an_error() {
    let mut bytes = sample();
    bytes[field::MAGIC] = 9;
    bytes.extend_from_slice(&sample());
    let mut all = batches(&bytes);
    assert!(all.next().unwrap().is_err());
    assert!(all.next().is_none() && all.next().is_none());
}

#[test]
fn every_prefix_and_every_flipped_bit_is_survived() {
    let bytes = sample();
    for end in 0..bytes.len() {
        assert_eq!(fuzz::read_batches(&bytes[..end]), 0);
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fuzz::read_batches(&flipped);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_survived(bytes in vec(any::<u8>(), 0..400)) {
        fuzz::read_batches(&bytes);
        fuzz::decompress(&bytes);
    }

    #[test]
    fn arbitrary_records_behind_a_good_header_are_survived(
        records in vec(any::<u8>(), 0..200),
        count in 0i32..20,
        attributes in 0i16..0x80,
    ) {
        let mut bytes = sample();
        bytes.truncate(HEADER_LEN);
        bytes.extend_from_slice(&records);
        let length = (bytes.len() - field::LENGTH_END) as i32;
        patch(&mut bytes, field::LENGTH, length.to_be_bytes());
        patch(&mut bytes, field::COUNT, count.to_be_bytes());
        patch(&mut bytes, field::LAST_OFFSET_DELTA, 100i32.to_be_bytes());
        patch(&mut bytes, field::ATTRIBUTES, attributes.to_be_bytes());
        fuzz::read_batches(&bytes);
    }

    #[test]
    fn flipped_records_are_survived(
        records in vec(record(0i64..1000), 1..10),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut bytes = build(&records, Compression::None);
        for (index, byte) in flips {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        fuzz::read_batches(&bytes);
    }
}

#[cfg(not(feature = "compression"))]
#[test]
fn codecs_that_are_not_built_in_are_refused_by_name() {
    let mut bytes = sample();
    patch(&mut bytes, field::ATTRIBUTES, 4i16.to_be_bytes());
    let words = "zstd is not part of this build: it needs the cargo feature `compression`";
    refused(only(&bytes), words);
    let mut builder = BatchBuilder::new(Vec::new());
    append(&mut builder, &owned(0, None, Some("x")));
    refused(builder.close(Compression::Zstd), words);
    refused(Compression::Zstd.available(), words);
}

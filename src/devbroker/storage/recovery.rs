//! Reading a file of batches that may end anywhere, or hold anything.

use std::io::{self, Read};

use crate::kafka::protocol::Bytes;
use crate::kafka::record::batch::{self, HEADER_LEN, Header, field};

/// The largest batch that can have come in a request.
const MAX_BATCH: usize = 104_857_600;

/// So much is reserved on the word of a length field; beyond, memory grows as bytes arrive.
const RESERVED: usize = 1 << 20;

/// Leader epochs are counted up from 0; none comes near this.
pub(super) const MAX_EPOCH: i32 = 1 << 30;

/// How far a file makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recovered {
    /// The size of the sound batches.
    pub(super) size: u64,
    /// The offset behind the last of them.
    pub(super) end: i64,
    /// Why the bytes behind them, if there are any, are not a batch.
    pub(super) wrong: Option<String>,
}

/// Hands out the batches whose first has offset `base`, up to the first that is not whole or not right: too long or
/// short, with a wrong checksum, or not at the offset and epoch that follow.
///
/// # Errors
/// The file cannot be read.
pub(super) fn recover(mut from: impl Read, base: i64, mut each: impl FnMut(Bytes, &Header)) -> io::Result<Recovered> {
    let mut done = Recovered { size: 0, end: base, wrong: None };
    let mut epoch = 0;
    loop {
        let bytes = match next(&mut from)? {
            Next::Bytes(bytes) => Bytes::from(bytes),
            Next::End => return Ok(done),
            Next::Wrong(why) => return Ok(Recovered { wrong: Some(why), ..done }),
        };
        match check(&bytes, done.end, epoch) {
            Ok(header) => {
                done.size += bytes.len() as u64;
                done.end += i64::from(header.last_offset_delta) + 1;
                epoch = header.leader_epoch;
                each(bytes, &header);
            }
            Err(why) => return Ok(Recovered { wrong: Some(why), ..done }),
        }
    }
}

enum Next {
    Bytes(Vec<u8>),
    End,
    Wrong(String),
}

/// The bytes of one batch, by its length field.
fn next(from: &mut impl Read) -> io::Result<Next> {
    let mut bytes = Vec::with_capacity(HEADER_LEN);
    from.take(field::LENGTH_END as u64).read_to_end(&mut bytes)?;
    match bytes.len() {
        0 => return Ok(Next::End),
        field::LENGTH_END => {}
        less => return Ok(Next::Wrong(format!("a batch ends after {less} bytes"))),
    }
    let length = i32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    let size = usize::try_from(length).unwrap_or(0) + field::LENGTH_END;
    if !(HEADER_LEN..=MAX_BATCH).contains(&size) {
        return Ok(Next::Wrong(format!("a batch has length {length}")));
    }
    bytes.reserve_exact(size.min(RESERVED) - bytes.len());
    from.take((size - field::LENGTH_END) as u64).read_to_end(&mut bytes)?;
    if bytes.len() < size {
        return Ok(Next::Wrong(format!("a batch of {size} bytes ends after {}", bytes.len())));
    }
    bytes.shrink_to_fit();
    Ok(Next::Bytes(bytes))
}

fn check(bytes: &Bytes, base: i64, epoch: i32) -> Result<Header, String> {
    let batch = batch::batches(bytes).next();
    // There is one: its length says that it is as long as the bytes.
    let batch = batch.ok_or("no batch")?.map_err(|error| error.to_string())?;
    batch.check_crc().map_err(|error| error.to_string())?;
    let header = *batch.header();
    if header.base_offset != base {
        return Err(format!("a batch has offset {} in place of {base}", header.base_offset));
    }
    if !(epoch..MAX_EPOCH).contains(&header.leader_epoch) {
        return Err(format!("a batch has leader epoch {} after {epoch}", header.leader_epoch));
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::kafka::record::builder::{BatchBuilder, stamp};
    use crate::kafka::record::compression::Compression;

    /// Batches of one record each with these values, from `base` on, and where each of them ends.
    fn file(base: i64, values: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for (value, offset) in values.iter().zip(base..) {
            let mut builder = BatchBuilder::new(Vec::new());
            builder.append(None, Some(value), &[], 1).unwrap();
            let mut batch = builder.close(Compression::None).unwrap();
            batch::put(&mut batch, field::BASE_OFFSET, offset.to_be_bytes());
            batch::put(&mut batch, field::LEADER_EPOCH, 0i32.to_be_bytes());
            stamp(&mut batch, -1, -1, -1);
            bytes.extend_from_slice(&batch);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn read(bytes: &[u8], base: i64) -> (Recovered, Vec<u8>) {
        let mut seen = Vec::new();
        let done = recover(bytes, base, |batch, _| seen.extend_from_slice(&batch)).unwrap();
        (done, seen)
    }

    #[test]
    fn a_file_that_is_cut_anywhere_gives_its_whole_batches() {
        let (bytes, ends) = file(7, &[vec![b'a'; 3], Vec::new(), vec![b'c'; 70]]);
        for cut in 0..=bytes.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let size = whole.checked_sub(1).map_or(0, |last| ends[last]);
            let (done, seen) = read(&bytes[..cut], 7);
            assert_eq!((done.size, done.end), (size as u64, 7 + whole as i64), "cut at {cut}");
            assert_eq!(seen, bytes[..size]);
            assert_eq!(done.wrong.is_some(), cut > size, "cut at {cut}");
        }
    }

    #[test]
    fn a_changed_byte_ends_the_file_before_its_batch() {
        let (bytes, ends) = file(0, &[vec![b'a'; 3], vec![b'b'; 3], vec![b'c'; 3]]);
        // The last bytes of the leader epoch, which no checksum covers, make other epochs.
        let epoch = ends[0] + field::LEADER_EPOCH..ends[0] + field::LEADER_EPOCH + 4;
        for at in (ends[0]..ends[1]).filter(|at| !epoch.contains(at)) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x41;
            let (done, seen) = read(&changed, 0);
            assert_eq!((done.size, done.end), (ends[0] as u64, 1), "byte {at}");
            assert_eq!(seen, bytes[..ends[0]]);
            assert!(done.wrong.is_some());
        }
    }

    #[test]
    fn a_file_of_other_offsets_or_epochs_is_not_taken() {
        let (bytes, _) = file(5, &[vec![1]]);
        for base in [0, 4, 6] {
            assert_eq!(read(&bytes, base).0.size, 0);
        }
        for epoch in [-1, MAX_EPOCH] {
            let mut bytes = bytes.clone();
            batch::put(&mut bytes, field::LEADER_EPOCH, epoch.to_be_bytes());
            assert_eq!(read(&bytes, 5).0.size, 0);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_what_is_taken_is_taken_again(
            values in vec(vec(any::<u8>(), 0..50), 0..5),
            noise in vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
        ) {
            let (mut bytes, _) = file(0, &values);
            let at = at.index(bytes.len() + 1);
            bytes.splice(at.., noise);
            let (done, seen) = read(&bytes, 0);
            prop_assert_eq!(&seen[..], &bytes[..done.size as usize]);
            prop_assert_eq!(done.wrong.is_none(), done.size == bytes.len() as u64);
            prop_assert_eq!(read(&seen, 0).0, Recovered { wrong: None, ..done });
        }
    }
}

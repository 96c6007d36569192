//! Record batches, written by hand so that every field can be wrong, and read back for the recording.

use std::fmt::Write;

const CRC_START: usize = 21;
const HEADER: usize = 61;

/// A batch to be produced. The default is sound and not idempotent.
#[derive(Clone)]
pub struct Batch {
    pub base_offset: i64,
    pub leader_epoch: i32,
    pub magic: i8,
    pub attributes: i16,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    /// Milliseconds since 1970 and value; a record without a key.
    pub records: Vec<(i64, Vec<u8>)>,
    pub key: Option<&'static [u8]>,
    /// Flips a bit of the checksum.
    pub bad_crc: bool,
    /// Claimed in place of the real ones.
    pub count: Option<i32>,
    pub last_offset_delta: Option<i32>,
    pub length: Option<i32>,
}

/// A time long ago, so that what is recorded does not depend on the clock.
pub const TIME: i64 = 1_700_000_000_000;

impl Default for Batch {
    fn default() -> Self {
        Self {
            base_offset: 0,
            leader_epoch: -1,
            magic: 2,
            attributes: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            records: Vec::new(),
            key: None,
            bad_crc: false,
            count: None,
            last_offset_delta: None,
            length: None,
        }
    }
}

impl Batch {
    /// One record for each value, each a second after the one before it.
    pub fn of(values: &[&str]) -> Self {
        let records = (0..).zip(values).map(|(i, value)| (TIME + 1000 * i, value.as_bytes().to_vec()));
        Self { records: records.collect(), ..Self::default() }
    }

    /// As an idempotent producer sends it.
    pub fn idempotent(self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Self {
        Self { producer_id, producer_epoch, base_sequence, ..self }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let first = self.records.first().map_or(TIME, |record| record.0);
        let last = self.records.iter().map(|record| record.0).max().unwrap_or(first);
        let count = self.records.len() as i32;
        let mut out = Vec::new();
        out.extend(self.base_offset.to_be_bytes());
        out.extend(0i32.to_be_bytes());
        out.extend(self.leader_epoch.to_be_bytes());
        out.extend(self.magic.to_be_bytes());
        out.extend(0u32.to_be_bytes());
        out.extend(self.attributes.to_be_bytes());
        out.extend(self.last_offset_delta.unwrap_or(count - 1).to_be_bytes());
        out.extend(first.to_be_bytes());
        out.extend(last.to_be_bytes());
        out.extend(self.producer_id.to_be_bytes());
        out.extend(self.producer_epoch.to_be_bytes());
        out.extend(self.base_sequence.to_be_bytes());
        out.extend(self.count.unwrap_or(count).to_be_bytes());
        for (delta, (time, value)) in (0..).zip(&self.records) {
            let mut record = vec![0];
            varint(&mut record, time - first);
            varint(&mut record, delta);
            varint(&mut record, self.key.map_or(-1, |key| key.len() as i64));
            record.extend(self.key.unwrap_or_default());
            varint(&mut record, value.len() as i64);
            record.extend(value);
            varint(&mut record, 0);
            varint(&mut out, record.len() as i64);
            out.extend(record);
        }
        let length = self.length.unwrap_or(out.len() as i32 - 12);
        out[8..12].copy_from_slice(&length.to_be_bytes());
        let crc = crc_fast::crc32_iscsi(&out[CRC_START..]) ^ u32::from(self.bad_crc);
        out[17..21].copy_from_slice(&crc.to_be_bytes());
        out
    }
}

/// Two records in the message format of Kafka 0.10 (magic 1), as a message set.
pub fn old_message_set(magic: u8) -> Vec<u8> {
    let mut message = vec![magic, 0];
    if magic == 1 {
        message.extend(TIME.to_be_bytes());
    }
    message.extend((-1i32).to_be_bytes());
    message.extend(3i32.to_be_bytes());
    message.extend(b"old");
    let mut out = 0i64.to_be_bytes().to_vec();
    out.extend((message.len() as i32 + 4).to_be_bytes());
    out.extend(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &message).to_be_bytes()[4..].iter());
    out.extend(message);
    out
}

/// What a broker returned for one partition, one line a batch. The producer's id and times that the broker set are not
/// shown.
pub fn describe(mut bytes: &[u8]) -> String {
    let mut text = String::new();
    while bytes.len() >= HEADER {
        let length = i32::from_be_bytes(field(bytes, 8)) as usize + 12;
        if length > bytes.len() {
            break;
        }
        let (batch, rest) = bytes.split_at(length.max(HEADER));
        bytes = rest;
        let attributes = i16::from_be_bytes(field(batch, 21));
        let crc = crc_fast::crc32_iscsi(&batch[CRC_START..]) == u32::from_be_bytes(field(batch, 17));
        let max_timestamp = match i64::from_be_bytes(field(batch, 35)) {
            _ if attributes & 8 != 0 => "<now>".to_owned(),
            time => time.to_string(),
        };
        write!(
            text,
            "[offset {} + {}, {} records in {length} bytes, magic {}, leader epoch {}, attributes {attributes}, crc {}, \
             max time {max_timestamp}, {}, producer epoch {}, sequence {}] ",
            i64::from_be_bytes(field(batch, 0)),
            i32::from_be_bytes(field(batch, 23)),
            i32::from_be_bytes(field(batch, 57)),
            batch[16],
            i32::from_be_bytes(field(batch, 12)),
            if crc { "ok" } else { "wrong" },
            if i64::from_be_bytes(field(batch, 43)) < 0 { "no producer" } else { "a producer" },
            i16::from_be_bytes(field(batch, 51)),
            i32::from_be_bytes(field(batch, 53)),
        )
        .expect("a string takes everything");
    }
    if !bytes.is_empty() {
        write!(text, "[{} bytes of a batch that is cut off]", bytes.len()).expect("a string takes everything");
    }
    if text.is_empty() { "no batch".to_owned() } else { text.trim_end().to_owned() }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("N bytes")
}

fn varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = (value << 1 ^ value >> 63) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

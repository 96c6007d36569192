//! A partition's log with Kafka's rules for idempotent producers (`ProducerStateManager`, KIP-98, KIP-360).

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use kafka_protocol::records::RecordBatchDecoder;
use krs::kafka::protocol::ErrorCode;

/// So many batches of a producer are known well enough to tell a repetition from a gap.
const REMEMBERED: usize = 5;

/// A record that was appended; its offset is its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    pub key: Option<String>,
    pub value: String,
    pub producer_id: i64,
    pub epoch: i16,
}

#[derive(Default)]
pub struct Log {
    pub records: Vec<Appended>,
    producers: HashMap<i64, Producer>,
}

struct Producer {
    epoch: i16,
    /// First sequence, last sequence and base offset of the latest batches, oldest first; never empty.
    batches: VecDeque<(i32, i32, i64)>,
}

impl Log {
    /// Appends one batch, or finds that it is here already. Returns the offset of its first record.
    pub fn append(&mut self, batch: &[u8]) -> Result<i64, ErrorCode> {
        // The other crate's decoder also compares the checksum.
        let mut bytes = Bytes::copy_from_slice(batch);
        let records = RecordBatchDecoder::decode(&mut bytes).expect("the client sends sound batches").records;
        let first = records.first().expect("the client sends no empty batches");
        let (id, epoch, base) = (first.producer_id, first.producer_epoch, first.sequence);
        let last = base.wrapping_add(records.len() as i32 - 1) & i32::MAX;
        if id >= 0 {
            if let Some(offset) = self.find(id, epoch, base, last) {
                return Ok(offset);
            }
            self.check(id, epoch, base)?;
        }
        let offset = self.records.len() as i64;
        if id >= 0 {
            let producer = self.producers.entry(id).or_insert(Producer { epoch, batches: VecDeque::new() });
            if producer.epoch != epoch {
                *producer = Producer { epoch, batches: VecDeque::new() };
            }
            producer.batches.push_back((base, last, offset));
            if producer.batches.len() > REMEMBERED {
                producer.batches.pop_front();
            }
        }
        let text = |bytes: Option<Bytes>| bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        self.records.extend(records.into_iter().map(|record| Appended {
            key: text(record.key),
            value: text(record.value).unwrap_or_default(),
            producer_id: id,
            epoch,
        }));
        Ok(offset)
    }

    fn find(&self, id: i64, epoch: i16, base: i32, last: i32) -> Option<i64> {
        let producer = self.producers.get(&id).filter(|producer| producer.epoch == epoch)?;
        producer.batches.iter().find(|batch| (batch.0, batch.1) == (base, last)).map(|batch| batch.2)
    }

    /// A producer that the partition has never heard of may begin anywhere; a new epoch of a known one begins at 0.
    fn check(&self, id: i64, epoch: i16, base: i32) -> Result<(), ErrorCode> {
        let Some(producer) = self.producers.get(&id) else { return Ok(()) };
        let newest = producer.batches.back().map_or(-1, |batch| batch.1);
        match epoch.cmp(&producer.epoch) {
            std::cmp::Ordering::Less => Err(ErrorCode::INVALID_PRODUCER_EPOCH),
            std::cmp::Ordering::Greater if base != 0 => Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER),
            std::cmp::Ordering::Equal if base != newest.wrapping_add(1) & i32::MAX => {
                Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER)
            }
            _ => Ok(()),
        }
    }
}

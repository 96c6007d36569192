//! librdkafka's own functions for the two loops in which the crate costs something: `BaseProducer::send` looks up the
//! topic by its name for each record, and `BaseConsumer::poll` brings one record a call, with an `Arc` of its own.

use std::ffi::CString;
use std::ptr;
use std::time::Duration;

use peer_common::{PATIENCE, Result};
use rdkafka::bindings as librdkafka;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::RDKafkaErrorCode;

use crate::Deliveries;

/// `RD_KAFKA_PARTITION_UA`: the partitioner chooses.
const ANY_PARTITION: i32 = -1;

/// Records a call brings at most.
const BATCH: usize = 1024;

/// `rd_kafka_produce` to one topic; outcomes come to the producer's own callback.
pub(crate) struct Topic<'a> {
    handle: *mut librdkafka::rd_kafka_topic_t,
    producer: &'a BaseProducer<Deliveries>,
}

impl<'a> Topic<'a> {
    pub fn new(producer: &'a BaseProducer<Deliveries>, name: &str) -> Result<Self> {
        let name = CString::new(name)?;
        // SAFETY: the client outlives the handle, which is destroyed with `self`; no settings of its own.
        let handle =
            unsafe { librdkafka::rd_kafka_topic_new(producer.client().native_ptr(), name.as_ptr(), ptr::null_mut()) };
        if handle.is_null() {
            return Err("librdkafka makes no handle of the topic".into());
        }
        Ok(Self { handle, producer })
    }

    pub fn send(&self, value: &[u8]) -> Result {
        loop {
            // SAFETY: librdkafka copies the value before it returns; there is no key. The null opaque is what the
            // callback of `Deliveries` expects.
            let refused = unsafe {
                librdkafka::rd_kafka_produce(
                    self.handle,
                    ANY_PARTITION,
                    librdkafka::RD_KAFKA_MSG_F_COPY,
                    value.as_ptr().cast_mut().cast(),
                    value.len(),
                    ptr::null(),
                    0,
                    ptr::null_mut(),
                )
            };
            if refused == 0 {
                return Ok(());
            }
            // SAFETY: reads a variable of this thread.
            match unsafe { librdkafka::rd_kafka_last_error() }.into() {
                RDKafkaErrorCode::QueueFull => self.producer.poll(Duration::from_millis(1)),
                error => return Err(error.into()),
            }
        }
    }
}

impl Drop for Topic<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once.
        unsafe { librdkafka::rd_kafka_topic_destroy(self.handle) }
    }
}

/// `rd_kafka_consume_batch_queue` until `count` records are here or no more come. Returns records and bytes of values.
pub(crate) fn consume(consumer: &BaseConsumer, count: u64) -> Result<(u64, u64)> {
    let timeout = i32::try_from(PATIENCE.as_millis())?;
    // SAFETY: the client outlives the queue, which is destroyed below.
    let queue = unsafe { librdkafka::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
    if queue.is_null() {
        return Err("librdkafka has no queue of the consumer".into());
    }
    let (mut records, mut bytes, mut failed) = (0, 0, None);
    let mut batch = [ptr::null_mut(); BATCH];
    while records < count && failed.is_none() {
        // No more than are wanted: a call returns when it has all it asks for.
        let wanted = usize::try_from(count - records).map_or(BATCH, |left| left.min(BATCH));
        // SAFETY: `batch` has room for so many.
        let got = unsafe { librdkafka::rd_kafka_consume_batch_queue(queue, timeout, batch.as_mut_ptr(), wanted) };
        let Ok(got @ 1..) = usize::try_from(got) else { break };
        for &message in &batch[..got] {
            // SAFETY: the first `got` places hold messages; each is destroyed once and not looked at afterwards.
            unsafe {
                match (*message).err.into() {
                    RDKafkaErrorCode::NoError => {
                        records += 1;
                        bytes += (*message).len as u64;
                    }
                    error if crate::passes(error) => {}
                    error => failed = Some(error),
                }
                librdkafka::rd_kafka_message_destroy(message);
            }
        }
    }
    // SAFETY: got above, destroyed once.
    unsafe { librdkafka::rd_kafka_queue_destroy(queue) };
    failed.map_or(Ok((records, bytes)), |error| Err(error.into()))
}

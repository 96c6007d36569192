//! librdkafka, bundled by the crate `rdkafka`: `BaseProducer` with a delivery callback, `BaseConsumer` with an
//! assignment; or the same with librdkafka's own functions where each record is handled, since the crate costs
//! something there.

mod functions;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use peer_common::{Arguments, Arrivals, Measure, Mode, Outcomes, PATIENCE, Report, Result, Schedule, Values};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientContext, Message, Offset, TopicPartitionList};

use functions::Topic;

/// Records between two calls of `poll`, which runs the delivery callbacks.
const STRIDE: u64 = 1024;

/// How records are handed over and taken, where their number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// `rd_kafka_produce`, `rd_kafka_consume_batch_queue`.
    Functions,
    /// `BaseProducer::send`, `BaseConsumer::poll`.
    Crate,
}

pub fn run(by: By) -> ExitCode {
    peer_common::run(|arguments, report| {
        let version = rdkafka::util::get_rdkafka_version().1;
        report.set(
            "client",
            match by {
                By::Functions => format!("librdkafka {version}"),
                By::Crate => format!("librdkafka {version} by crate rdkafka 0.39.0"),
            },
        );
        match arguments.mode {
            Mode::Produce => produce(by, arguments, report),
            Mode::Consume => consume(by, arguments, report),
            Mode::Latency => latency(arguments, report),
            Mode::Idle => idle(arguments, report),
            Mode::First => first(arguments, report),
        }
    })
}

#[derive(Clone, Default)]
struct Deliveries(Arc<Outcomes>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        self.0.note(delivered.as_ref().map_err(|(error, _)| error));
    }
}

fn produce(by: By, arguments: &Arguments, report: &mut Report) -> Result {
    let (producer, deliveries) = connect_producer(arguments, report)?;
    let topic = Topic::new(&producer, &arguments.topic)?;
    let values = Values::new(arguments.size);
    let measure = Measure::start();
    for index in 0..arguments.count {
        match by {
            By::Functions => topic.send(values.get(index))?,
            By::Crate => send(&producer, &arguments.topic, values.get(index))?,
        }
        if index % STRIDE == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(6 * PATIENCE)?;
    deliveries.0.finish(measure, arguments, report);
    Ok(())
}

fn consume(by: By, arguments: &Arguments, report: &mut Report) -> Result {
    let consumer = connect_consumer(arguments, report)?;
    let partitions = partitions(&consumer, arguments, Place::Beginning)?;
    let measure = Measure::start();
    consumer.assign(&partitions)?;
    let (records, bytes) = match by {
        By::Functions => functions::consume(&consumer, arguments.count)?,
        By::Crate => poll_all(&consumer, arguments.count)?,
    };
    report.finish(measure, records, bytes, arguments.count);
    Ok(())
}

fn poll_all(consumer: &BaseConsumer, count: u64) -> Result<(u64, u64)> {
    let (mut records, mut bytes) = (0, 0);
    while records < count {
        let Some(message) = next(consumer)? else { break };
        bytes += message.payload_len() as u64;
        records += 1;
    }
    Ok((records, bytes))
}

/// The next message; `None` if none comes for a while.
fn next(consumer: &BaseConsumer) -> Result<Option<BorrowedMessage<'_>>> {
    let mut troubled: Option<Instant> = None;
    loop {
        match consumer.poll(PATIENCE).transpose() {
            Err(error)
                if error.rdkafka_error_code().is_some_and(passes)
                    && troubled.get_or_insert_with(Instant::now).elapsed() < PATIENCE => {}
            other => return Ok(other?),
        }
    }
}

/// Whether librdkafka tells of it and goes on by itself, as when `localhost` has an address on which nobody listens.
fn passes(error: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, Resolve};
    matches!(error, AllBrokersDown | BrokerTransportFailure | Resolve)
}

fn latency(arguments: &Arguments, report: &mut Report) -> Result {
    let (producer, deliveries) = connect_producer(arguments, report)?;
    let consumer = connect_consumer(arguments, report)?;
    consumer.assign(&partitions(&consumer, arguments, Place::End)?)?;
    // Until its fetches are waiting at the broker.
    consumer.poll(Duration::from_secs(1));

    let (sent, schedule) = (AtomicBool::new(false), Schedule::start(arguments));
    let (measure, arrivals) = thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(&consumer, schedule));
        scope.spawn(|| {
            while !sent.load(Ordering::Relaxed) {
                producer.poll(Duration::from_millis(100));
            }
        });
        let measure = schedule.run(arguments.size, |_, value| send(&producer, &arguments.topic, value));
        let arrivals = receiver.join().expect("the receiver panicked");
        sent.store(true, Ordering::Relaxed);
        measure.and_then(|measure| Ok((measure, arrivals?)))
    })?;
    deliveries.0.tell(report);
    arrivals.finish(measure, arguments, report);
    Ok(())
}

fn receive(consumer: &BaseConsumer, schedule: Schedule) -> Result<Arrivals> {
    let mut arrivals = Arrivals::new(schedule);
    while !arrivals.all_here() {
        let Some(message) = next(consumer)? else { break };
        arrivals.note(message.payload().unwrap_or_default());
    }
    Ok(arrivals)
}

fn idle(arguments: &Arguments, report: &mut Report) -> Result {
    let (producer, _) = connect_producer(arguments, report)?;
    let consumer = connect_consumer(arguments, report)?;
    consumer.assign(&partitions(&consumer, arguments, Place::End)?)?;
    consumer.poll(Duration::from_secs(1));
    let measure = Measure::start();
    let end = Instant::now() + arguments.duration();
    thread::scope(|scope| {
        scope.spawn(|| producer.poll(arguments.duration()));
        // An empty topic brings `None` only when the time is over.
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            consumer.poll(left);
        }
    });
    report.finish(measure, 0, 0, 0);
    Ok(())
}

fn first(arguments: &Arguments, report: &mut Report) -> Result {
    let deliveries = Deliveries::default();
    let producer = BaseProducer::from_config_and_context(&producer_config(arguments, report), deliveries.clone())?;
    send(&producer, &arguments.topic, Values::new(arguments.size).get(0))?;
    producer.flush(PATIENCE)?;
    deliveries.0.tell(report);
    report.finish_process(deliveries.0.count_acknowledged(), arguments.size as u64, 1);
    Ok(())
}

fn send(producer: &BaseProducer<Deliveries>, topic: &str, value: &[u8]) -> Result {
    let mut record = BaseRecord::<(), [u8]>::to(topic).payload(value);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                producer.poll(Duration::from_millis(1));
                record = refused;
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

fn connect_producer(arguments: &Arguments, report: &mut Report) -> Result<(BaseProducer<Deliveries>, Deliveries)> {
    let deliveries = Deliveries::default();
    let producer = BaseProducer::from_config_and_context(&producer_config(arguments, report), deliveries.clone())?;
    // Finding the partitions is no part of what is measured.
    producer.client().fetch_metadata(Some(&arguments.topic), PATIENCE)?;
    Ok((producer, deliveries))
}

fn producer_config(arguments: &Arguments, report: &mut Report) -> ClientConfig {
    let mut settings = vec![("acks", "all"), ("enable.idempotence", "true")];
    settings.push(("compression.type", arguments.compression.name()));
    match (arguments.tuned, arguments.mode) {
        (true, Mode::Latency) => settings.extend([("linger.ms", "0"), ("socket.nagle.disable", "true")]),
        (true, _) => settings.extend([
            ("batch.size", "1000000"),
            ("batch.num.messages", "1000000"),
            ("linger.ms", "5"),
            ("queue.buffering.max.messages", "1000000"),
            ("queue.buffering.max.kbytes", "1048576"),
        ]),
        (false, _) => {}
    }
    config(arguments, &settings, report)
}

fn connect_consumer(arguments: &Arguments, report: &mut Report) -> Result<BaseConsumer> {
    // Without a group there is nothing to commit, but an assignment needs its name.
    let mut settings = vec![("group.id", "peer-librdkafka"), ("enable.auto.commit", "false")];
    match (arguments.tuned, arguments.mode) {
        (true, Mode::Latency) => settings.push(("socket.nagle.disable", "true")),
        (true, _) => settings.extend([
            ("fetch.message.max.bytes", "10485760"),
            ("queued.min.messages", "1000000"),
            ("queued.max.messages.kbytes", "1048576"),
        ]),
        (false, _) => {}
    }
    report.set("check.crcs", "false (default)");
    Ok(config(arguments, &settings, report).create()?)
}

fn config(arguments: &Arguments, settings: &[(&str, &str)], report: &mut Report) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &arguments.brokers);
    for (name, value) in settings {
        config.set(*name, *value);
        report.set_property(name, value);
    }
    config
}

#[derive(Clone, Copy)]
enum Place {
    Beginning,
    /// As it is now, so that nothing sent from now on is missed.
    End,
}

fn partitions(consumer: &BaseConsumer, arguments: &Arguments, place: Place) -> Result<TopicPartitionList> {
    let metadata = consumer.fetch_metadata(Some(&arguments.topic), PATIENCE)?;
    let topic = metadata.topics().first().ok_or("no metadata of the topic")?;
    let mut partitions = TopicPartitionList::new();
    for partition in topic.partitions() {
        let offset = match place {
            Place::Beginning => Offset::Beginning,
            Place::End => Offset::Offset(consumer.fetch_watermarks(&arguments.topic, partition.id(), PATIENCE)?.1),
        };
        partitions.add_partition_offset(&arguments.topic, partition.id(), offset)?;
    }
    Ok(partitions)
}

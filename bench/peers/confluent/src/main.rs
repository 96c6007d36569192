//! Confluent's own client in Rust: the producer's path for borrowed bytes with a callback, and the consumer with an
//! assignment and values that borrow from what was read, on Tokio's ordinary runtime.

use std::collections::HashMap;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use confluent_kafka::common::serialization::{ByteArraySerializer, BytesDeserializer};
use confluent_kafka::common::{Error, TopicPartition};
use confluent_kafka::consumer::{Consumer, ConsumerConfig, KafkaConsumer};
use confluent_kafka::producer::{KafkaProducer, Producer, ProducerConfig, ProducerRecord, RecordMetadata};
use peer_common::{Arguments, Arrivals, Measure, Mode, Outcomes, PATIENCE, Report, Result, Schedule, Values};

type Sender = KafkaProducer<Vec<u8>, Vec<u8>>;
type Receiver = KafkaConsumer<Bytes, Bytes>;

/// Not in an `Arc`, so that the callback of each record is not an allocation.
static OUTCOMES: Outcomes = Outcomes::new();

fn main() -> ExitCode {
    peer_common::run(|arguments, report| {
        report.set("client", "confluent-kafka 1.0.0");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            match arguments.mode {
                Mode::Produce => produce(arguments, report).await,
                Mode::Consume => consume(arguments, report).await,
                Mode::Latency => latency(arguments, report).await,
                Mode::Idle => idle(arguments, report).await,
                Mode::First => first(arguments, report).await,
            }
        })
    })
}

async fn produce(arguments: &Arguments, report: &mut Report) -> Result {
    let producer = connect_producer(arguments, report).await?;
    let values = Values::new(arguments.size);
    let measure = Measure::start();
    for index in 0..arguments.count {
        send(&producer, &arguments.topic, values.get(index)).await?;
    }
    producer.flush().await?;
    OUTCOMES.finish(measure, arguments, report);
    producer.close().await?;
    Ok(())
}

async fn consume(arguments: &Arguments, report: &mut Report) -> Result {
    let mut consumer = connect_consumer(arguments, report)?;
    let partitions = partitions(&mut consumer, &arguments.topic).await?;
    let measure = Measure::start();
    consumer.assign(partitions).await?;
    let (mut records, mut bytes, mut last) = (0, 0, Instant::now());
    while records < arguments.count && last.elapsed() < PATIENCE {
        let polled = consumer.poll(PATIENCE).await?;
        if polled.is_empty() {
            continue;
        }
        last = Instant::now();
        for record in &polled {
            records += 1;
            bytes += record.value().map_or(0, |value| value.len() as u64);
        }
    }
    let records = records.min(arguments.count);
    report.finish(measure, records, bytes, arguments.count);
    consumer.close().await?;
    Ok(())
}

async fn latency(arguments: &Arguments, report: &mut Report) -> Result {
    let producer = connect_producer(arguments, report).await?;
    let mut consumer = connect_consumer(arguments, report)?;
    assign_end(&mut consumer, &arguments.topic).await?;
    consumer.poll(Duration::from_secs(1)).await?;

    let schedule = Schedule::start(arguments);
    let runtime = tokio::runtime::Handle::current();
    // A thread of its own: Tokio's clock ticks in milliseconds.
    let (topic, size) = (arguments.topic.clone(), arguments.size);
    let sender = thread::spawn(move || {
        let measure = schedule.run(size, |_, value| runtime.block_on(send(&producer, &topic, value)));
        measure.and_then(|measure| {
            runtime.block_on(producer.close())?;
            Ok(measure)
        })
    });
    let (mut arrivals, mut last) = (Arrivals::new(schedule), Instant::now());
    while !arrivals.all_here() && last.elapsed() < PATIENCE {
        let polled = consumer.poll(PATIENCE).await?;
        if polled.is_empty() {
            continue;
        }
        last = Instant::now();
        for record in &polled {
            arrivals.note(record.value().map_or(&[], |value| &value[..]));
        }
    }
    let measure = sender.join().map_err(|_| "the sender panicked")??;
    OUTCOMES.tell(report);
    arrivals.finish(measure, arguments, report);
    consumer.close().await?;
    Ok(())
}

async fn idle(arguments: &Arguments, report: &mut Report) -> Result {
    let producer = connect_producer(arguments, report).await?;
    let mut consumer = connect_consumer(arguments, report)?;
    assign_end(&mut consumer, &arguments.topic).await?;
    consumer.poll(Duration::from_secs(1)).await?;
    let (measure, end) = (Measure::start(), Instant::now() + arguments.duration());
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        consumer.poll(left).await?;
    }
    report.finish(measure, 0, 0, 0);
    producer.close().await?;
    consumer.close().await?;
    Ok(())
}

async fn first(arguments: &Arguments, report: &mut Report) -> Result {
    let producer = producer(arguments, report)?;
    send(&producer, &arguments.topic, Values::new(arguments.size).get(0)).await?;
    producer.flush().await?;
    OUTCOMES.tell(report);
    report.finish_process(OUTCOMES.count_acknowledged(), arguments.size as u64, 1);
    producer.close().await?;
    Ok(())
}

async fn send(producer: &Sender, topic: &str, value: &[u8]) -> Result {
    let record = ProducerRecord::new(topic.to_owned(), Some(value));
    producer.send(record, Some(Box::new(note))).await?;
    Ok(())
}

fn note(_: Option<&RecordMetadata>, error: Option<&Error>) {
    match error {
        None => OUTCOMES.acknowledged(1),
        Some(error) => OUTCOMES.failed(1, error),
    }
}

async fn connect_producer(arguments: &Arguments, report: &mut Report) -> Result<Sender> {
    let producer = producer(arguments, report)?;
    // Finding the partitions is no part of what is measured.
    producer.partitions_for(&arguments.topic).await?;
    Ok(producer)
}

fn producer(arguments: &Arguments, report: &mut Report) -> Result<Sender> {
    let mut settings = vec![("acks", "all"), ("enable.idempotence", "true")];
    settings.push(("compression.type", arguments.compression.name()));
    match (arguments.tuned, arguments.mode) {
        (true, Mode::Latency) => settings.push(("linger.ms", "0")),
        (true, _) => settings.extend([
            ("batch.size", "1000000"),
            ("linger.ms", "5"),
            ("buffer.memory", "134217728"),
            ("max.request.size", "1048576"),
        ]),
        (false, _) => {}
    }
    let config = ProducerConfig::new(&properties(arguments, &settings, report))?;
    Ok(KafkaProducer::new(config, ByteArraySerializer::new(), ByteArraySerializer::new())?)
}

fn connect_consumer(arguments: &Arguments, report: &mut Report) -> Result<Receiver> {
    let mut settings =
        vec![("group.protocol", "consumer"), ("enable.auto.commit", "false"), ("auto.offset.reset", "earliest")];
    if arguments.tuned && arguments.mode != Mode::Latency {
        settings.extend([("max.partition.fetch.bytes", "10485760"), ("max.poll.records", "10000")]);
    }
    report.set("check.crcs", "true (default)");
    let config = ConsumerConfig::new(&properties(arguments, &settings, report))?;
    Ok(KafkaConsumer::new(config, BytesDeserializer::new(), BytesDeserializer::new())?)
}

fn properties(arguments: &Arguments, settings: &[(&str, &str)], report: &mut Report) -> HashMap<String, String> {
    for (name, value) in settings {
        report.set_property(name, value);
    }
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    settings.chain([("bootstrap.servers".to_owned(), arguments.brokers.clone())]).collect()
}

async fn partitions(consumer: &mut Receiver, topic: &str) -> Result<Vec<TopicPartition>> {
    let partitions = consumer.partitions_for(topic).await?;
    Ok(partitions.iter().map(|partition| TopicPartition::new(topic, partition.partition())).collect())
}

/// The end as it is now, so that nothing sent from now on is missed.
async fn assign_end(consumer: &mut Receiver, topic: &str) -> Result {
    let partitions = partitions(consumer, topic).await?;
    consumer.assign(partitions.clone()).await?;
    for (partition, end) in consumer.end_offsets(&partitions).await? {
        consumer.seek_with_offset(partition, end).await?;
    }
    Ok(())
}

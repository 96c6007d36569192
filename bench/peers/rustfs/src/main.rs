//! `rustfs-kafka`: `BatchProducer` for many records, `Producer` where each is sent when it is due, and a `Consumer`
//! without a group. All of them block, and have one request per broker under way.

use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use peer_common::{
    Arguments, Arrivals, Compression, Measure, Mode, Outcomes, Report, Result, Schedule, Values, poll_until,
};
use rustfs_kafka::client::{KafkaClient, ProducerTimestamp};
use rustfs_kafka::consumer::{Consumer, FetchOffset};
use rustfs_kafka::producer::{self, BatchProducer, ProduceConfirm, Producer, Record, RequiredAcks};

/// Bytes of values in a batch over all partitions, so that the batch of each of three is about 1 MB.
const TUNED_BYTES: usize = 2_700_000;

fn main() -> ExitCode {
    peer_common::run(|arguments, report| {
        report.set("client", "rustfs-kafka 1.4.1");
        match arguments.mode {
            Mode::Produce => produce(arguments, report),
            Mode::Consume => consume(arguments, report),
            Mode::Latency => latency(arguments, report),
            Mode::Idle => idle(arguments, report),
            Mode::First => first(arguments, report),
        }
    })
}

fn produce(arguments: &Arguments, report: &mut Report) -> Result {
    tell_produce(arguments, report);
    let mut producer = BatchProducer::from_client(connect(arguments)?)
        .with_required_acks(RequiredAcks::All)
        .with_compression(compression(arguments));
    if arguments.tuned {
        report.set("max_bytes", TUNED_BYTES);
        report.set("batch_size", 1_000_000);
        report.set("linger_ms", 5);
        producer = producer.with_max_batch_bytes(TUNED_BYTES).with_batch_size(1_000_000).with_linger(5);
    }
    let mut producer = producer.create()?;
    let (values, outcomes) = (Values::new(arguments.size), Outcomes::new());

    let measure = Measure::start();
    let mut buffered = 0;
    for index in 0..arguments.count {
        buffered += 1;
        // It answers for all that are buffered: there is an error if any of them was not acknowledged.
        match producer.send(&Record::from_value(&arguments.topic, values.get(index))) {
            Ok(false) => {}
            Ok(true) => outcomes.acknowledged(std::mem::take(&mut buffered)),
            Err(error) => {
                outcomes.failed(buffered, error);
                producer.clear();
                buffered = 0;
            }
        }
    }
    match producer.flush().map_err(Into::into).and_then(|confirmed| check(&confirmed)) {
        Ok(()) => outcomes.acknowledged(buffered),
        Err(error) => outcomes.failed(buffered, error),
    }
    outcomes.finish(measure, arguments, report);
    Ok(())
}

fn check(confirmed: &[ProduceConfirm]) -> Result {
    for partition in confirmed.iter().flat_map(|topic| &topic.partition_confirms) {
        if let Err(code) = partition.offset {
            return Err(format!("partition {}: {code:?}", partition.partition).into());
        }
    }
    Ok(())
}

fn consume(arguments: &Arguments, report: &mut Report) -> Result {
    let mut consumer = connect_consumer(arguments, report, FetchOffset::Earliest)?;
    let measure = Measure::start();
    let mut read = (0, 0);
    poll_until(
        &mut read,
        |(records, _)| *records >= arguments.count,
        |(records, bytes)| {
            for_each_value(&mut consumer, |value| {
                *records += 1;
                *bytes += value.len() as u64;
            })
        },
    )?;
    let (records, bytes) = read;
    report.finish(measure, records.min(arguments.count), bytes, arguments.count);
    Ok(())
}

fn latency(arguments: &Arguments, report: &mut Report) -> Result {
    let mut producer = connect_producer(arguments, report)?;
    let mut consumer = connect_consumer(arguments, report, FetchOffset::Latest)?;
    let schedule = Schedule::start(arguments);
    let (measure, arrivals) = thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(&mut consumer, schedule));
        let measure =
            schedule.run(arguments.size, |_, value| Ok(producer.send(&Record::from_value(&arguments.topic, value))?));
        let arrivals = receiver.join().expect("the receiver panicked");
        measure.and_then(|measure| Ok((measure, arrivals?)))
    })?;
    arrivals.finish(measure, arguments, report);
    Ok(())
}

fn receive(consumer: &mut Consumer, schedule: Schedule) -> Result<Arrivals> {
    let mut arrivals = Arrivals::new(schedule);
    poll_until(&mut arrivals, Arrivals::all_here, |arrivals| for_each_value(consumer, |value| arrivals.note(value)))?;
    Ok(arrivals)
}

/// One poll. Whether it brought anything.
fn for_each_value(consumer: &mut Consumer, mut each: impl FnMut(&[u8])) -> Result<bool> {
    let polled = consumer.poll()?;
    for message in polled.iter_ref().flat_map(|set| set.messages()) {
        each(&message.value);
    }
    Ok(!polled.is_empty())
}

fn idle(arguments: &Arguments, report: &mut Report) -> Result {
    let _producer = connect_producer(arguments, report)?;
    let mut consumer = connect_consumer(arguments, report, FetchOffset::Latest)?;
    consumer.poll()?;
    let (measure, end) = (Measure::start(), Instant::now() + arguments.duration());
    while Instant::now() < end {
        consumer.poll()?;
    }
    report.finish(measure, 0, 0, 0);
    Ok(())
}

fn first(arguments: &Arguments, report: &mut Report) -> Result {
    let mut producer = connect_producer(arguments, report)?;
    producer.send(&Record::from_value(&arguments.topic, Values::new(arguments.size).get(0)))?;
    report.finish_process(1, arguments.size as u64, 1);
    Ok(())
}

fn connect_producer(arguments: &Arguments, report: &mut Report) -> Result<Producer> {
    tell_produce(arguments, report);
    let producer = Producer::from_client(connect(arguments)?).with_required_acks(RequiredAcks::All);
    Ok(producer.with_compression(compression(arguments)).create()?)
}

/// Its records would be of 1970 without a setting that only a client has, and Kafka deletes them within minutes.
fn connect(arguments: &Arguments) -> Result<KafkaClient> {
    let client = KafkaClient::builder().with_hosts(hosts(arguments));
    let mut client = client.with_producer_timestamp(Some(ProducerTimestamp::CreateTime)).build();
    client.load_metadata(&[&arguments.topic])?;
    Ok(client)
}

fn connect_consumer(arguments: &Arguments, report: &mut Report, from: FetchOffset) -> Result<Consumer> {
    report.set("fetch_crc_validation", "true (default)");
    let consumer =
        Consumer::from_hosts(hosts(arguments)).with_topic(arguments.topic.clone()).with_fallback_offset(from);
    let consumer = match (arguments.tuned, arguments.mode) {
        (true, Mode::Latency) => {
            report.set("fetch_min_bytes", 1);
            consumer.with_fetch_min_bytes(1)
        }
        // More than one batch's bytes would be faster, but a batch that the broker cuts off there is an error to it.
        _ => {
            report.set("fetch_max_bytes_per_partition", "32768 (default; fails on batches cut off)");
            consumer
        }
    };
    Ok(consumer.create()?)
}

fn tell_produce(arguments: &Arguments, report: &mut Report) {
    report.set("required_acks", "All");
    report.set("idempotence", "cannot");
    report.set("producer_timestamp", "CreateTime");
    report.set("compression", arguments.compression.name());
}

fn hosts(arguments: &Arguments) -> Vec<String> {
    arguments.brokers.split(',').map(str::to_owned).collect()
}

fn compression(arguments: &Arguments) -> producer::Compression {
    match arguments.compression {
        Compression::None => producer::Compression::NONE,
        Compression::Lz4 => producer::Compression::LZ4,
    }
}

//! The crate `kafka`: `Producer::send_all`, and a `Consumer` without a group. Both block, and have one request per broker
//! under way. It asks for the first version of every request, which Kafka 4 does not have any more.

use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use kafka::consumer::{Consumer, FetchOffset};
use kafka::producer::{ProduceConfirm, Producer, Record, RequiredAcks};
use peer_common::{
    Arguments, Arrivals, Compression, Measure, Mode, Outcomes, Report, Result, Schedule, Values, poll_until,
};

/// Bytes of values handed over at once, over all partitions: of each of three about 1 MB, or 16 KB.
const TUNED_BYTES: usize = 2_700_000;
const PLAIN_BYTES: usize = 49_152;

fn main() -> ExitCode {
    peer_common::run(|arguments, report| {
        report.set("client", "kafka 0.10.0 (Produce v0, Fetch v0)");
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
    let mut producer = connect_producer(arguments, report)?;
    let at_once = if arguments.tuned { TUNED_BYTES } else { PLAIN_BYTES } / arguments.size.max(1);
    report.set("records at once", at_once);
    let (values, outcomes) = (Values::new(arguments.size), Outcomes::new());

    let measure = Measure::start();
    let (mut batch, mut index) = (Vec::with_capacity(at_once), 0);
    while index < arguments.count {
        let end = arguments.count.min(index + at_once.max(1) as u64);
        batch.extend((index..end).map(|index| Record::from_value(&arguments.topic, values.get(index))));
        // It tells of partitions, not of records: all are acknowledged, or the call failed.
        match producer.send_all(&batch).map_err(Into::into).and_then(|confirmed| check(&confirmed)) {
            Ok(()) => outcomes.acknowledged(end - index),
            Err(error) => outcomes.failed(end - index, error),
        }
        batch.clear();
        index = end;
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
    for message in polled.iter().flat_map(|set| set.messages()) {
        each(message.value);
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
    report.set("required_acks", "All");
    report.set("idempotence", "cannot");
    report.set("compression", arguments.compression.name());
    if arguments.compression == Compression::Lz4 {
        return Err("the crate kafka cannot lz4".into());
    }
    Ok(Producer::from_hosts(hosts(arguments)).with_required_acks(RequiredAcks::All).create()?)
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
        (true, _) => {
            report.set("fetch_max_bytes_per_partition", 1 << 20);
            consumer.with_fetch_max_bytes_per_partition(1 << 20)
        }
        (false, _) => consumer,
    };
    Ok(consumer.create()?)
}

fn hosts(arguments: &Arguments) -> Vec<String> {
    arguments.brokers.split(',').map(str::to_owned).collect()
}

//! The limit: what is left when a client does nothing but move bytes.
//!
//! Produce sends batches that were encoded before, 5 requests at most in flight, and looks at the error codes of the
//! answers. Consume has one Fetch per partition under way and of what it reads looks at the heads of the batches only:
//! no checksum, no record. Latency is one request per message. No idempotence, no retries, one broker.

mod wire;

use std::collections::VecDeque;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::{FetchResponse, ProduceResponse};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::records::RecordBatchDecoder;
use peer_common::{Arguments, Arrivals, Measure, Mode, PATIENCE, Report, Result, Schedule, Values};
use wire::{Connection, FETCH_VERSION, PRODUCE_VERSION, Place};

/// As `max.in.flight.requests.per.connection` of the clients.
const IN_FLIGHT: usize = 5;

/// Bytes of a record besides its value, in batches of up to 8192 with values of 64 bytes to 8 KiB.
const RECORD_OVERHEAD: usize = 10;

/// How long a fetch waits at the broker for records, in milliseconds.
const LONG_POLL: i32 = 500;

fn main() -> ExitCode {
    peer_common::run(|arguments, report| {
        report.set("client", "raw socket, frames by crate kafka-protocol 0.18.0");
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
    let batch_size = if arguments.tuned { 1_000_000 } else { 16_384 };
    for (name, value) in [("batch.size", batch_size), ("max.in.flight.requests.per.connection", IN_FLIGHT)] {
        report.set(name, value);
    }
    tell_produce(arguments, report);
    let mut connection = Connection::dial(&arguments.brokers)?;
    let partitions = connection.partitions(&arguments.topic)?;

    let each = (batch_size / (arguments.size + RECORD_OVERHEAD)).max(1) as u64;
    let values = Values::new(arguments.size);
    // Each frame its own values, so that no two batches in a row are the same.
    let frames = partitions
        .iter()
        .map(|&partition| wire::produce(arguments, partition, values_from(&values, u64::from(partition as u32), each)))
        .collect::<Result<Vec<_>>>()?;
    let rest = match arguments.count % each {
        0 => None,
        rest => Some((rest, wire::produce(arguments, partitions[0], values_from(&values, 0, rest))?)),
    };
    let mut to_send = (0..arguments.count / each)
        .zip(frames.iter().cycle())
        .map(|(_, frame)| (each, frame))
        .chain(rest.iter().map(|(records, frame)| (*records, frame)));

    let measure = Measure::start();
    let (mut in_flight, mut acknowledged) = (VecDeque::new(), 0);
    loop {
        while in_flight.len() < IN_FLIGHT
            && let Some((records, frame)) = to_send.next()
        {
            connection.write(frame)?;
            in_flight.push_back(records);
        }
        let Some(records) = in_flight.pop_front() else { break };
        check_produced(connection.read()?)?;
        acknowledged += records;
    }
    report.finish(measure, acknowledged, acknowledged * arguments.size as u64, arguments.count);
    Ok(())
}

fn values_from(values: &Values, batch: u64, count: u64) -> impl Iterator<Item = &[u8]> {
    (batch * count..(batch + 1) * count).map(|index| values.get(index))
}

fn check_produced(mut answer: &[u8]) -> Result {
    let produced = ProduceResponse::decode(&mut Bytes::copy_from_slice(wire::body(&mut answer)?), PRODUCE_VERSION)?;
    for partition in produced.responses.iter().flat_map(|topic| &topic.partition_responses) {
        if partition.error_code != 0 {
            return Err(format!("partition {}: error {}", partition.index, partition.error_code).into());
        }
    }
    Ok(())
}

fn consume(arguments: &Arguments, report: &mut Report) -> Result {
    let most = if arguments.tuned { 4 << 20 } else { 1 << 20 };
    report.set("max.partition.fetch.bytes", most);
    report.set("check.crcs", "no");
    let mut connection = Connection::dial(&arguments.brokers)?;
    let partitions = connection.partitions(&arguments.topic)?;
    let mut offsets = connection.offsets(&arguments.topic, &partitions, Place::Beginning)?;

    let measure = Measure::start();
    let (mut records, mut empty) = (0, None);
    for (&partition, &offset) in partitions.iter().zip(&offsets) {
        connection.write(&wire::fetch(&arguments.topic, &[(partition, offset)], most, LONG_POLL)?)?;
    }
    'all: loop {
        for (&partition, offset) in partitions.iter().zip(&mut offsets) {
            let (count, next) = wire::count_records(connection.read()?, &arguments.topic)?;
            records += count;
            if records >= arguments.count {
                break 'all;
            }
            if count > 0 {
                (*offset, empty) = (next, None);
            } else if empty.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                break 'all;
            }
            connection.write(&wire::fetch(&arguments.topic, &[(partition, *offset)], most, LONG_POLL)?)?;
        }
    }
    let records = records.min(arguments.count);
    report.finish(measure, records, records * arguments.size as u64, arguments.count);
    Ok(())
}

fn latency(arguments: &Arguments, report: &mut Report) -> Result {
    tell_produce(arguments, report);
    let mut sender = Connection::dial(&arguments.brokers)?;
    let partitions = sender.partitions(&arguments.topic)?;
    let mut acknowledgements = sender.try_clone()?;
    let mut receiver = Connection::dial(&arguments.brokers)?;
    let ends = receiver.offsets(&arguments.topic, &partitions, Place::End)?;
    let mut positions: Vec<_> = partitions.iter().copied().zip(ends).collect();

    let schedule = Schedule::start(arguments);
    let (measure, arrivals) = thread::scope(|scope| {
        let receiver = scope.spawn(move || receive(&mut receiver, &arguments.topic, &mut positions, schedule));
        let acknowledged = scope.spawn(move || -> Result {
            (0..schedule.total()).try_for_each(|_| check_produced(acknowledgements.read()?))
        });
        let measure = schedule.run(arguments.size, |index, value| {
            let partition = partitions[index as usize % partitions.len()];
            sender.write(&wire::produce(arguments, partition, [value].into_iter())?)
        });
        acknowledged.join().expect("the reader of acknowledgements panicked")?;
        let arrivals = receiver.join().expect("the receiver panicked")?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((measure?, arrivals))
    })?;
    arrivals.finish(measure, arguments, report);
    Ok(())
}

/// All partitions in one long poll, and the next one when its records were looked at.
fn receive(
    connection: &mut Connection,
    topic: &str,
    positions: &mut [(i32, i64)],
    schedule: Schedule,
) -> Result<Arrivals> {
    let (mut arrivals, mut last) = (Arrivals::new(schedule), Instant::now());
    while !arrivals.all_here() && last.elapsed() < PATIENCE {
        connection.write(&wire::fetch(topic, positions, 1 << 20, LONG_POLL)?)?;
        let mut answer = connection.read()?;
        let fetched = FetchResponse::decode(&mut Bytes::copy_from_slice(wire::body(&mut answer)?), FETCH_VERSION)?;
        for partition in fetched.responses.into_iter().flat_map(|topic| topic.partitions) {
            if partition.error_code != 0 {
                return Err(format!("partition {}: error {}", partition.partition_index, partition.error_code).into());
            }
            let Some(mut batches) = partition.records else { continue };
            while wire::is_whole_batch(&batches) {
                for record in RecordBatchDecoder::decode(&mut batches)?.records {
                    arrivals.note(record.value.as_deref().unwrap_or_default());
                    last = Instant::now();
                    let position = positions.iter_mut().find(|(index, _)| *index == partition.partition_index);
                    position.ok_or("a partition that was not asked for")?.1 = record.offset + 1;
                }
            }
        }
    }
    Ok(arrivals)
}

fn idle(arguments: &Arguments, report: &mut Report) -> Result {
    let sender = Connection::dial(&arguments.brokers)?;
    let mut receiver = Connection::dial(&arguments.brokers)?;
    let partitions = receiver.partitions(&arguments.topic)?;
    let ends = receiver.offsets(&arguments.topic, &partitions, Place::End)?;
    let positions: Vec<_> = partitions.iter().copied().zip(ends).collect();
    let (measure, end) = (Measure::start(), Instant::now() + arguments.duration());
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        let wait = left.min(Duration::from_millis(LONG_POLL as u64)).as_millis() as i32;
        receiver.write(&wire::fetch(&arguments.topic, &positions, 1 << 20, wait)?)?;
        receiver.read()?;
    }
    drop(sender);
    report.finish(measure, 0, 0, 0);
    Ok(())
}

fn first(arguments: &Arguments, report: &mut Report) -> Result {
    tell_produce(arguments, report);
    let mut connection = Connection::dial(&arguments.brokers)?;
    let partition = connection.partitions(&arguments.topic)?[0];
    connection.write(&wire::produce(arguments, partition, values_from(&Values::new(arguments.size), 0, 1))?)?;
    check_produced(connection.read()?)?;
    report.finish_process(1, arguments.size as u64, 1);
    Ok(())
}

fn tell_produce(arguments: &Arguments, report: &mut Report) {
    report.set("acks", "all");
    report.set("enable.idempotence", "cannot");
    report.set("compression.type", arguments.compression.name());
}

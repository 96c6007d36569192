//! Everything at once, at random, with a fixed seed: whatever happens, what was acknowledged is in the log exactly once,
//! in order, and nothing else is there but records whose outcome was said to be unknown.

use std::collections::HashMap;
use std::time::Duration;

use krs::kafka::protocol::{ApiKey, ErrorCode};
use krs::{ErrorKind, Record};

use super::connect;
use super::util::{Act, Asked, LONG, Scripted, with};

const PARTITIONS: usize = 3;

/// splitmix64 of a seed and a place.
fn random(seed: u64, place: u64) -> u64 {
    let mut z = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn trouble(seed: u64, asked: &Asked) -> Act {
    let dice = random(seed, (asked.api.code() as u64) << 32 | asked.nth as u64);
    if asked.api == ApiKey::ApiVersions {
        return if dice.is_multiple_of(50) { Act::Drop } else { Act::Usual };
    }
    if asked.api != ApiKey::Produce {
        return match dice % 20 {
            0 => Act::Drop,
            1 => Act::DropAfter,
            2 => Act::Refuse(ErrorCode::LEADER_NOT_AVAILABLE),
            _ => Act::Usual,
        };
    }
    match dice % 100 {
        0..5 => Act::Drop,
        5..10 => Act::DropAfter,
        10..13 => Act::Refuse(ErrorCode::NOT_ENOUGH_REPLICAS),
        13..16 => Act::RefuseAfterAppend(ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND),
        16..18 => Act::RefuseAfterAppend(ErrorCode::REQUEST_TIMED_OUT),
        18..20 => Act::Refuse(ErrorCode::REQUEST_TIMED_OUT),
        20..22 => Act::Refuse(ErrorCode::NOT_LEADER_OR_FOLLOWER),
        22..24 => Act::RefuseAfterAppend(ErrorCode::NOT_LEADER_OR_FOLLOWER),
        24..26 => Act::Refuse(ErrorCode::MESSAGE_TOO_LARGE),
        26 => Act::Refuse(ErrorCode::UNKNOWN_PRODUCER_ID),
        27 => Act::Silence,
        28 => Act::Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        29 => Act::Miscorrelate(1),
        30..40 => {
            std::thread::sleep(Duration::from_millis(dice >> 32 & 7));
            Act::Usual
        }
        _ => Act::Usual,
    }
}

/// Greater than every other value, so that the logs stay sorted.
const LAST: &str = "last";

fn run(seed: u64, records: usize) {
    let kafka = Scripted::start(2);
    kafka.create("t", &[Some(1), Some(2), Some(1)]);
    let config = with(
        kafka.config(),
        &[
            ("batch.size", "200"),
            ("buffer.memory", "30000"),
            ("request.timeout.ms", "100"),
            ("message.timeout.ms", "400"),
        ],
    );
    let producer = connect(&config);
    producer.partition_count("t").unwrap();
    kafka.script(move |asked| trouble(seed, asked));
    let mut deliveries = Vec::new();
    for n in 0..records {
        let value = format!("{n:06}");
        let partition = n % PARTITIONS;
        let record = Record::to("t").partition(partition as i32).value(&value);
        deliveries.push((partition, value.clone(), producer.send(record).unwrap()));
        if n % 150 == 149 {
            let dice = random(!seed, n as u64);
            kafka.lead("t", dice as usize % PARTITIONS, Some((dice >> 32 & 1) as i32 + 1));
        }
    }
    producer.flush(LONG).unwrap();
    kafka.script(|_| Act::Usual);
    // All is well again. What is still on its way without a known outcome arrives before these, or never.
    let mut lasts = Vec::new();
    for partition in 0..PARTITIONS {
        let last = producer.send(Record::to("t").partition(partition as i32).value(LAST)).unwrap();
        lasts.push(last.wait().unwrap().offset() as usize);
    }
    let logs: Vec<_> = (0..PARTITIONS).map(|partition| kafka.values("t", partition)).collect();
    for (partition, log) in logs.iter().enumerate() {
        let unsorted = log.windows(2).find(|pair| pair[0] >= pair[1]);
        if let Some(pair) = unsorted {
            let at = log.iter().position(|value| *value == pair[0]).unwrap_or_default();
            let around = &kafka.log("t", partition)[at.saturating_sub(12)..(at + 30).min(log.len())];
            let told: Vec<_> =
                around.iter().map(|r| format!("{} id {} epoch {}", r.value, r.producer_id, r.epoch)).collect();
            panic!("seed {seed}: twice, or out of order, in t-{partition}: {pair:?} in\n{}", told.join("\n"));
        }
    }
    let mut outcomes = HashMap::new();
    for (partition, value, delivery) in &deliveries {
        let at = logs[*partition].binary_search(value);
        match delivery.poll().expect("flush waited for it") {
            Ok(sent) if sent.offset() < 0 => assert!(at.is_ok(), "seed {seed}: {value} is lost"),
            Ok(sent) => assert_eq!(at, Ok(sent.offset() as usize), "seed {seed}: {value} is not where it should be"),
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {}
            Err(error) => assert!(at.is_err(), "seed {seed}: {value} failed and is in the log: {error}"),
        }
        let kind = delivery.poll().and_then(Result::err).map(|error| error.kind());
        *outcomes.entry(kind).or_insert(0usize) += 1;
    }
    let acknowledged = outcomes.get(&None).copied().unwrap_or_default();
    assert!(acknowledged > records / 2, "seed {seed}: {outcomes:?}");
    let counters = producer.counters();
    assert_eq!(
        counters.acknowledged + counters.failed + counters.unknown,
        (records + PARTITIONS) as u64,
        "seed {seed}"
    );
    assert_eq!(counters.pending, 0);
    for (log, last) in logs.iter().zip(lasts) {
        assert_eq!((log.len() - 1, log[last].as_str()), (last, LAST), "seed {seed}");
    }
    producer.close(LONG).unwrap();
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order() {
    let seeds = std::env::var("KRS_CHAOS_SEEDS").map_or(vec![7], |seeds| {
        seeds.split(',').map(|seed| seed.parse().expect("KRS_CHAOS_SEEDS is a list of numbers")).collect()
    });
    for seed in seeds {
        run(seed, 3000);
    }
}

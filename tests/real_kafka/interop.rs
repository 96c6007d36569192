//! What we write, others read; what others write, we read: Java's tools, librdkafka (`kcat`), and the `kafka` crate
//! where the broker still understands it.

use std::collections::BTreeSet;

use krs::{Config, Header, Producer, Record};

use crate::support::{Entry, LONG, formatter, kafka, read, reader, run, run_with, unique};

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// Writes records of all shapes to a topic, compressed in this way, and tells what they should look like.
fn write(config: &Config, topic: &str, codec: &str) -> Vec<Entry> {
    let producer = Producer::connect(&config.clone().set("compression.type", codec).unwrap()).unwrap();
    let origin = Header::new("codec", codec);
    let nothing = Header { key: "nothing", value: None };
    let headers = [origin, Header::new("empty", ""), nothing, Header::new("codec", "again")];
    let mut sent = Vec::new();
    for number in 0..40 {
        let (key, value) = (format!("{codec}-{number}"), format!("value {number} {}", "Hällo ".repeat(number)));
        let (key, value, headers) = match number {
            7 => (None, Some(value.trim_end()), &headers[..0]),
            8 => (Some(&*key), None, &headers[..0]),
            9 => (Some(&*key), Some(""), &headers[..0]),
            _ => (Some(&*key), Some(value.trim_end()), &headers[..]),
        };
        let record = Record::to(topic).headers(headers);
        let record = key.into_iter().fold(record, Record::key);
        let record = value.into_iter().fold(record, Record::value);
        let delivery = producer.send(record).unwrap();
        let header = |header: &Header<'_>| {
            let value = header.value.map_or("NULL".into(), String::from_utf8_lossy);
            format!("{}={value}", header.key)
        };
        let headers = headers.iter().map(header).collect::<Vec<_>>().join(",");
        sent.push((delivery, key.map(str::to_owned), value.map(str::to_owned), headers));
    }
    producer.flush(LONG).unwrap();
    let entry = |(delivery, key, value, headers): (krs::Delivery, _, _, _)| {
        let place = delivery.wait().unwrap();
        Entry { partition: place.partition(), offset: place.offset(), key, value, headers }
    };
    let entries = sent.into_iter().map(entry).collect();
    producer.close(LONG).unwrap();
    entries
}

#[test]
fn java_and_librdkafka_read_what_we_write() {
    let kafka = kafka();
    let topic = unique("ours");
    kafka.create(&topic, 3);
    let mut ours: Vec<Entry> = CODECS.iter().flat_map(|codec| write(&kafka.config(), &topic, codec)).collect();
    ours.sort();
    let count = ours.len().to_string();

    assert_eq!(kafka.log(&topic), ours, "kcat");

    let properties = ["print.key=true", "print.headers=true", "print.partition=true", "print.offset=true"];
    let mut words = vec!["--topic", &topic, "--from-beginning", "--max-messages", &count, "--timeout-ms", "30000"];
    words.extend(properties.iter().flat_map(|property| [formatter(), property]));
    let console = run(&mut kafka.tool("kafka-console-consumer", &words), LONG).success();
    let line = |entry: &Entry| {
        let null = || "null".to_owned();
        let headers = match entry.headers.as_str() {
            "" => "NO_HEADERS".to_owned(),
            headers => headers.replace("=NULL", "=null").replace('=', ":"),
        };
        format!(
            "Partition:{}\tOffset:{}\t{headers}\t{}\t{}",
            entry.partition,
            entry.offset,
            entry.key.clone().unwrap_or_else(null),
            entry.value.clone().unwrap_or_else(null)
        )
    };
    let expected: BTreeSet<String> = ours.iter().map(line).collect();
    let shown: BTreeSet<String> =
        console.lines().filter(|line| line.starts_with("Partition:")).map(str::to_owned).collect();
    assert_eq!(shown, expected, "ConsoleConsumer");

    let words =
        ["--topic", &topic, "--group-id", &topic, "--max-messages", &count, "--verbose", "--reset-policy", "earliest"];
    let verifiable = run(&mut kafka.tool("kafka-verifiable-consumer", &words), LONG).success();
    let mut shown: Vec<Entry> = json(&verifiable, "record_data").iter().map(entry_of).collect();
    shown.sort();
    let without_headers: Vec<Entry> = ours.into_iter().map(|entry| Entry { headers: String::new(), ..entry }).collect();
    assert_eq!(shown, without_headers, "VerifiableConsumer");
}

/// The lines with this name that a verifiable tool has written.
fn json(text: &str, name: &str) -> Vec<serde_json::Value> {
    let values = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    values.filter(|value| value["name"] == name).collect()
}

fn entry_of(value: &serde_json::Value) -> Entry {
    Entry {
        partition: value["partition"].as_i64().unwrap().try_into().unwrap(),
        offset: value["offset"].as_i64().unwrap(),
        key: value["key"].as_str().map(str::to_owned),
        value: value["value"].as_str().map(str::to_owned),
        headers: String::new(),
    }
}

#[test]
fn we_read_what_javas_verifiable_producer_writes_and_put_a_key_where_it_does() {
    let kafka = kafka();
    let (topic, mine) = (unique("verifiable"), unique("verifiable"));
    kafka.create(&topic, 7);
    kafka.create(&mine, 7);
    let words = ["--topic", &topic, "--max-messages", "500", "--repeating-keys", "50", "--value-prefix", "3"];
    let text = run(&mut kafka.tool("kafka-verifiable-producer", &words), LONG).success();
    let mut written: Vec<Entry> = json(&text, "producer_send_success").iter().map(entry_of).collect();
    written.sort();
    assert_eq!(written.len(), 500);
    assert_eq!(read(&kafka.config(), &topic, 7), written);

    let producer = Producer::connect(&kafka.config()).unwrap();
    for entry in &written {
        let key = entry.key.as_deref().unwrap();
        let place = producer.send(Record::to(&mine).key(key)).unwrap().wait().unwrap();
        assert_eq!(place.partition(), entry.partition, "key {key}");
    }
    producer.close(LONG).unwrap();
}

#[test]
fn we_read_what_javas_console_producer_writes_in_every_codec() {
    let kafka = kafka();
    let topic = unique("console");
    kafka.create(&topic, 2);
    let mut expected = BTreeSet::new();
    for codec in CODECS {
        let mut input = String::new();
        for number in 0..60 {
            let (key, value) = (format!("{codec}-{number}"), format!("Wert {number} {}", "x".repeat(number * 7)));
            input += &format!("codec:{codec},n:{number}\t{key}\t{value}\n");
            expected.insert((Some(key), Some(value), format!("codec={codec},n={number}")));
        }
        let bare = format!("bare {codec}");
        input += &format!("VOID\t{codec}-gone\tVOID\nVOID\tVOID\t{bare}\n");
        expected.insert((Some(format!("{codec}-gone")), None, String::new()));
        expected.insert((None, Some(bare), String::new()));
        let words = ["--topic", &topic, "--compression-codec", codec];
        let properties = ["parse.key=true", "parse.headers=true", "null.marker=VOID"];
        let words = [&words[..], &properties.map(|property| [reader(), property]).concat()].concat();
        run_with(&mut kafka.tool("kafka-console-producer", &words), &input, LONG).success();
    }
    let entries = read(&kafka.config(), &topic, 2);
    assert_eq!(entries.len(), expected.len());
    let found: BTreeSet<_> = entries.into_iter().map(|entry| (entry.key, entry.value, entry.headers)).collect();
    assert_eq!(found, expected);
}

#[test]
fn we_read_what_kcat_writes_in_every_codec() {
    let kafka = kafka();
    let topic = unique("kcat");
    kafka.create(&topic, 2);
    let mut expected = Vec::new();
    for codec in CODECS {
        let mut input = String::new();
        for number in 0..60 {
            let (key, value) = (format!("{codec}-{number}"), "wörter ".repeat(number));
            input += &format!("{key}:{value}\n");
            // -Z makes null of what is empty.
            let value = Some(value).filter(|value| !value.is_empty());
            expected.push((Some(key), value, format!("codec={codec},codec=again,nothing=NULL")));
        }
        input += ":without key\n";
        expected.push((None, Some("without key".into()), format!("codec={codec},codec=again,nothing=NULL")));
        let codec_header = format!("codec={codec}");
        let words = ["-P", "-t", &topic, "-p", "1", "-K", ":", "-Z", "-z", codec];
        let headers = ["-H", &codec_header, "-H", "codec=again", "-H", "nothing"];
        run_with(&mut kafka.kcat(&[&words[..], &headers].concat()), &input, LONG).success();
    }
    let entries = read(&kafka.config(), &topic, 2);
    assert!(entries.iter().all(|entry| entry.partition == 1));
    assert!(entries.iter().map(|entry| entry.offset).eq(0..expected.len() as i64));
    let found: Vec<_> = entries.into_iter().map(|entry| (entry.key, entry.value, entry.headers)).collect();
    assert_eq!(found, expected);
}

/// The client that this project started from: with Kafka 3.9 it and we read each other, Kafka 4 closes the connection on
/// it.
#[test]
fn the_kafka_crate_reads_ours_and_we_read_its_until_kafka_4_hangs_up_on_it() {
    use ::kafka::consumer::{Consumer, FetchOffset};
    use ::kafka::producer::Producer as Peer;
    use ::kafka::producer::{Record as PeerRecord, RequiredAcks};

    let kafka = kafka();
    let topic = unique("crate");
    kafka.create(&topic, 1);
    let ours = {
        let producer = Producer::connect(&kafka.config()).unwrap();
        let mut ours = Vec::new();
        for number in 0..50 {
            let (key, value) = (format!("k{number}"), format!("ours {number}"));
            producer.send(Record::to(&topic).key(&key).value(&value).header("dropped", "by its format")).unwrap();
            ours.push((key.into_bytes(), value.into_bytes()));
        }
        producer.close(LONG).unwrap();
        ours
    };

    let hosts = vec![kafka.brokers.clone()];
    let consumer = Consumer::from_hosts(hosts.clone())
        .with_topic(topic.clone())
        .with_fallback_offset(FetchOffset::Earliest)
        .create();
    let peer = Peer::from_hosts(hosts).with_required_acks(RequiredAcks::All).create();
    if !kafka.is_3() {
        let read = consumer.and_then(|mut consumer| consumer.poll().map(|found| found.is_empty()));
        let written = peer.and_then(|mut peer| peer.send(&PeerRecord::from_value(&topic, "theirs")));
        println!("the kafka crate on Kafka {}: {read:?}, {written:?}", kafka.version);
        assert!(read.is_err() && written.is_err(), "Kafka {} understands it: {read:?}, {written:?}", kafka.version);
        assert_eq!(kafka.log(&topic).len(), ours.len());
        return;
    }

    let mut consumer = consumer.unwrap();
    let mut found = Vec::new();
    let deadline = std::time::Instant::now() + LONG;
    while found.len() < ours.len() {
        assert!(std::time::Instant::now() < deadline, "it read {} records", found.len());
        for set in consumer.poll().unwrap().iter() {
            found.extend(set.messages().iter().map(|message| (message.key.to_vec(), message.value.to_vec())));
        }
    }
    assert_eq!(found, ours);

    let mut peer = peer.unwrap();
    for number in 0..50 {
        peer.send(&PeerRecord::from_key_value(&topic, format!("p{number}"), format!("theirs {number}"))).unwrap();
    }
    let entries = read(&kafka.config(), &topic, 1);
    assert_eq!(entries.len(), 100);
    for (number, entry) in entries[50..].iter().enumerate() {
        let (key, value) = (format!("p{number}"), format!("theirs {number}"));
        assert_eq!((entry.key.as_ref(), entry.value.as_ref()), (Some(&key), Some(&value)));
    }
}

//! Messages as Apache Kafka itself encodes them: `kafka.txt` holds, for the versions that `kafka-protocol` lacks and for
//! the last ones in either encoding, a message field by field and the bytes that the message classes of Kafka 4.3.1
//! (3.9.2 for versions that 4 dropped) make of it. Every field has another value, so that none can pass for its
//! neighbour.

use super::*;

/// Three lines each: what it is, its fields, its bytes.
const MESSAGES: &str = include_str!("kafka.txt");

fn check(name: &str, version: i16, fields: &str, bytes: &[u8]) {
    macro_rules! dispatch {
        ($($file:ident: $request:ident, $response:ident;)+) => {
            match name {
                $(stringify!($request) => same::<$request>(version, fields, bytes),)+
                $(stringify!($response) => same::<$response>(version, fields, bytes),)+
                "ConsumerProtocolSubscription" => {
                    let framed = [&version.to_be_bytes(), bytes].concat().into();
                    let read = ConsumerProtocolSubscription::from_bytes(&framed).unwrap();
                    assert_eq!(read.describe(version), fields, "{name} {version}");
                    assert_eq!(read.to_bytes(version).unwrap(), framed, "{name} {version}");
                }
                "ConsumerProtocolAssignment" => {
                    let framed = [&version.to_be_bytes(), bytes].concat().into();
                    let read = ConsumerProtocolAssignment::from_bytes(&framed).unwrap();
                    assert_eq!(read.describe(version), fields, "{name} {version}");
                    assert_eq!(read.to_bytes(version).unwrap(), framed, "{name} {version}");
                }
                _ => panic!("no message {name}"),
            }
        };
    }
    for_each_api!(dispatch);
}

fn same<M: Body>(version: i16, fields: &str, bytes: &[u8]) {
    let name = std::any::type_name::<M>();
    let read = M::from_bytes(bytes, version).unwrap_or_else(|malformed| panic!("{name} {version}: {malformed}"));
    assert_eq!(read.describe(version), fields, "{name} {version}");
    assert_eq!(hex(&read.to_bytes(version).unwrap()), hex(bytes), "{name} {version}");
}

#[test]
fn messages_are_those_of_kafka() {
    let lines: Vec<_> = MESSAGES.lines().filter(|line| !line.starts_with('#')).collect();
    let messages = lines.chunks_exact(3);
    assert!(messages.len() > 200 && messages.remainder().is_empty());
    for message in messages {
        let [name, fields, bytes] = message else { unreachable!("chunks of three") };
        let (name, version) = name.split_once(' ').unwrap();
        check(name, version.parse().unwrap(), fields, &unhex(bytes));
    }
}

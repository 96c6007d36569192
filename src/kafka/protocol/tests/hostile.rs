//! Bytes that are not what they should be, for every message in every version: an error, never a panic.

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::*;
use crate::kafka::protocol::fuzz;

/// Every strict prefix is an error, so is every byte more; a wrong length anywhere is an error or another message.
fn is_checked<M: Body>(seed: &[u8]) -> Result<(), TestCaseError> {
    for version in M::VERSIONS.iter() {
        let bytes = M::sample_from(seed.to_vec(), version).to_bytes(version).unwrap();
        // Long strings and byte fields make prefixes that differ in nothing: near both ends all of them are tried.
        let lengths = (0..bytes.len()).filter(|&length| length < 300 || bytes.len() - length < 40 || length % 97 == 0);
        for length in lengths {
            prop_assert!(M::from_bytes(&bytes[..length], version).is_err(), "version {} cut to {}", version, length);
        }
        let longer = [&bytes[..], &[0]].concat();
        prop_assert!(M::from_bytes(&longer, version).is_err(), "version {} with a byte more", version);
        for at in 0..bytes.len().min(120) {
            for lie in [&[0x7f, 0xff, 0xff, 0xff][..], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0xff, 0xfe], &[0xff; 6]] {
                let mut wrong = bytes.clone();
                wrong.splice(at..bytes.len().min(at + lie.len()), lie.iter().copied());
                let _ = M::from_bytes(&wrong, version);
            }
        }
    }
    Ok(())
}

macro_rules! hostile {
    ($($name:ident: $request:ident, $response:ident;)+) => {
        proptest! {
            #![proptest_config(Config::with_cases(6))]
            $(
                #[test]
                fn $name(seed in seeds()) {
                    is_checked::<$request>(&seed)?;
                    is_checked::<$response>(&seed)?;
                }
            )+
        }
    };
}
for_each_api!(hostile);

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for fuzz::Api { key, min, max, .. } in fuzz::apis() {
            for version in min - 1..=max + 1 {
                fuzz::request(key, version, &bytes);
                fuzz::response(key, version, &bytes);
                fuzz::response_frame(key, version, &bytes);
            }
        }
        fuzz::request_frame(&bytes);
        fuzz::subscription(&bytes);
        fuzz::assignment(&bytes);
    }

    /// Bytes near zero are counts and lengths that fit, so decoders get further in than with any bytes.
    #[test]
    fn small_bytes_never_panic(bytes in prop::collection::vec(prop_oneof![9 => 0u8..4, 1 => any::<u8>()], 0..400)) {
        for fuzz::Api { key, min, max, .. } in fuzz::apis() {
            for version in min..=max {
                fuzz::request(key, version, &bytes);
                fuzz::response(key, version, &bytes);
            }
        }
        fuzz::subscription(&bytes);
        fuzz::assignment(&bytes);
    }

    #[test]
    fn a_member_cannot_break_the_group_with_its_metadata(seed in seeds()) {
        for version in 0..=3 {
            let wanted = ConsumerProtocolSubscription::sample(&mut Source::new(seed.clone()), version, ANY_FIELD);
            let bytes = wanted.to_bytes(version).unwrap();
            for length in 0..bytes.len().min(300) {
                prop_assert!(ConsumerProtocolSubscription::from_bytes(&bytes.slice(0..length)).is_err());
            }
            let newer = [&[0, 9], &ConsumerProtocolSubscription::to_bytes(&wanted, 3).unwrap()[2..], b"more"].concat();
            prop_assert_eq!(ConsumerProtocolSubscription::from_bytes(&newer.into()).unwrap(), wanted);
        }
    }
}

#[test]
fn what_is_wrong_is_told_with_the_field() {
    let told = |bytes: &[u8], version| MetadataResponse::from_bytes(bytes, version).unwrap_err().to_string();
    let count = [&[0, 0, 0, 0][..], &0x7fff_ffff_i32.to_be_bytes(), &[0; 12]].concat();
    assert_eq!(told(&count, 4), "MetadataResponse.brokers: array of 2147483647 elements in 12 bytes");
    let host = [&[0, 0, 0, 0, 2, 0, 0, 0, 1][..], &[0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
    assert_eq!(told(&host, 9), "MetadataResponseBroker.host: string of 4294967294 bytes, the limit is 32767");
    let tags = [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 5, 0, 5, 0];
    assert_eq!(told(&tags, 9), "MetadataResponse.tagged_fields: tagged field 5 after 5");
    assert_eq!(told(&[], 14), "version 14 is not known");
}

#[test]
fn invalid_utf8_in_a_name_leaves_the_rest_readable() {
    let broker = MetadataResponseBroker { node_id: 1, host: "a-b".into(), port: 9092, rack: None };
    let response = MetadataResponse { brokers: vec![broker], ..Default::default() };
    let mut bytes = response.to_bytes(9).unwrap();
    let at = bytes.iter().position(|&byte| byte == b'-').unwrap();
    bytes[at] = 0xff;
    let read = MetadataResponse::from_bytes(&bytes, 9).unwrap();
    assert_eq!((read.brokers[0].host.as_str(), read.brokers[0].port), ("a\\xffb", 9092));
}

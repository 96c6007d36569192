//! The bytes in which members tell the leader what they want and get told what they hold.
//!
//! ConsumerProtocolSubscription and ConsumerProtocolAssignment, versions 0 to 3. Both are never flexible and open with
//! their own version. Read as Java reads them: a version newer than ours as ours, bytes left over ignored, since other
//! clients of the group may be newer. They come from other members through the broker, so they are as hostile as
//! anything else from the network.

use super::{MemberSubscription, Share};
use crate::kafka::error::{Error, Result};

/// v0: topics, user data; v1 (KIP-429): owned partitions; v2 (KIP-792): their generation; v3 (KIP-881): rack.
const SUBSCRIPTION_VERSION: i16 = 3;
/// Versions 1 to 3 changed nothing.
const ASSIGNMENT_VERSION: i16 = 3;

pub(crate) fn encode_subscription(subscription: &MemberSubscription) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.extend(SUBSCRIPTION_VERSION.to_be_bytes());
    put_len(&mut out, subscription.topics.len());
    for topic in &subscription.topics {
        put_string(&mut out, topic);
    }
    put_bytes(&mut out, subscription.user_data.as_deref());
    put_len(&mut out, subscription.owned.len());
    for (topic, partitions) in &subscription.owned {
        put_partitions(&mut out, topic, partitions);
    }
    out.extend(subscription.generation.to_be_bytes());
    match &subscription.rack {
        Some(rack) => put_string(&mut out, rack),
        None => out.extend((-1i16).to_be_bytes()),
    }
    out
}

pub(crate) fn decode_subscription(bytes: &[u8]) -> Result<MemberSubscription> {
    let mut input = Input { bytes, what: "a member's subscription" };
    let version = input.version()?;
    let mut subscription = MemberSubscription { generation: -1, ..Default::default() };
    for _ in 0..input.len()? {
        subscription.topics.push(input.string()?);
    }
    subscription.user_data = input.bytes()?.map(<[u8]>::to_vec);
    if version >= 1 {
        for _ in 0..input.len()? {
            subscription.owned.push(input.partitions()?);
        }
    }
    if version >= 2 {
        subscription.generation = input.i32()?;
    }
    if version >= 3 {
        subscription.rack = input.nullable_string()?;
    }
    Ok(subscription)
}

pub(crate) fn encode_assignment(share: &Share) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.extend(ASSIGNMENT_VERSION.to_be_bytes());
    put_len(&mut out, share.len());
    for (topic, partitions) in share {
        put_partitions(&mut out, topic, partitions);
    }
    put_bytes(&mut out, None);
    out
}

/// An empty answer, as a member gets it that the leader did not know, is an empty share.
pub(crate) fn decode_assignment(bytes: &[u8]) -> Result<Share> {
    let mut share = Share::new();
    if bytes.is_empty() {
        return Ok(share);
    }
    let mut input = Input { bytes, what: "the leader's assignment" };
    input.version()?;
    for _ in 0..input.len()? {
        let (topic, partitions) = input.partitions()?;
        share.entry(topic).or_default().extend(partitions);
    }
    for partitions in share.values_mut() {
        partitions.sort_unstable();
        partitions.dedup();
    }
    Ok(share)
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend((len as i32).to_be_bytes());
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as i16).to_be_bytes());
    out.extend(text.as_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_len(out, bytes.len());
            out.extend(bytes);
        }
        None => out.extend((-1i32).to_be_bytes()),
    }
}

fn put_partitions(out: &mut Vec<u8>, topic: &str, partitions: &[i32]) {
    put_string(out, topic);
    put_len(out, partitions.len());
    for partition in partitions {
        out.extend(partition.to_be_bytes());
    }
}

/// What is left to read. No length is believed before its bytes are there.
struct Input<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or_else(|| self.broken("ends too early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn broken(&self, how: &str) -> Error {
        Error::protocol(format!("{} {how}", self.what))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn i16(&mut self) -> Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn version(&mut self) -> Result<i16> {
        let version = self.i16()?;
        if version < 0 { Err(self.broken("has a negative version")) } else { Ok(version) }
    }

    /// The length of an array, each of whose elements takes two bytes at the least.
    fn len(&mut self) -> Result<usize> {
        let len = usize::try_from(self.i32()?).map_err(|_| self.broken("has a negative length"))?;
        if len > self.bytes.len() / 2 { Err(self.broken("ends too early")) } else { Ok(len) }
    }

    fn nullable_string(&mut self) -> Result<Option<String>> {
        let len = self.i16()?;
        if len == -1 {
            return Ok(None);
        }
        let len = usize::try_from(len).map_err(|_| self.broken("has a negative length"))?;
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| self.broken("has a name that is not UTF-8"))?;
        Ok(Some(text.to_owned()))
    }

    fn string(&mut self) -> Result<String> {
        self.nullable_string()?.ok_or_else(|| self.broken("has a null name"))
    }

    fn bytes(&mut self) -> Result<Option<&'a [u8]>> {
        let len = self.i32()?;
        if len == -1 {
            return Ok(None);
        }
        let len = usize::try_from(len).map_err(|_| self.broken("has a negative length"))?;
        self.take(len).map(Some)
    }

    fn partitions(&mut self) -> Result<(String, Vec<i32>)> {
        let topic = self.string()?;
        let len = self.len()?;
        let mut partitions = Vec::new();
        for _ in 0..len {
            let partition = self.i32()?;
            if partition < 0 {
                return Err(self.broken("has a negative partition"));
            }
            partitions.push(partition);
        }
        Ok((topic, partitions))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name() -> impl Strategy<Value = String> {
        "[a-zü.]{0,12}"
    }

    fn partitions() -> impl Strategy<Value = Vec<i32>> {
        proptest::collection::vec(0i32..i32::MAX, 0..5)
    }

    proptest! {
        #[test]
        fn subscriptions_come_back_as_they_went(
            topics in proptest::collection::vec(name(), 0..4),
            user_data in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9)),
            owned in proptest::collection::vec((name(), partitions()), 0..4),
            generation in any::<i32>(),
            rack in proptest::option::of(name()),
        ) {
            let subscription = MemberSubscription { topics, user_data, owned, generation, rack };
            let bytes = encode_subscription(&subscription);
            prop_assert_eq!(decode_subscription(&bytes).unwrap(), subscription);
            for len in 0..bytes.len() {
                prop_assert!(decode_subscription(&bytes[..len]).is_err());
            }
        }

        #[test]
        fn assignments_come_back_as_they_went(
            parts in proptest::collection::btree_map(name(), proptest::collection::btree_set(0i32..999, 0..5), 0..4),
        ) {
            let share: Share = parts.into_iter().map(|(topic, set)| (topic, set.into_iter().collect())).collect();
            let bytes = encode_assignment(&share);
            prop_assert_eq!(decode_assignment(&bytes).unwrap(), share);
            for len in 1..bytes.len() - 4 {
                prop_assert!(decode_assignment(&bytes[..len]).is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode_subscription(&bytes);
            let _ = decode_assignment(&bytes);
        }
    }

    #[test]
    fn older_and_newer_versions_are_read() {
        let v0 = [0, 0, 0, 0, 0, 1, 0, 1, b't', 0xff, 0xff, 0xff, 0xff];
        let subscription = decode_subscription(&v0).unwrap();
        assert_eq!((subscription.topics, subscription.generation), (vec!["t".to_owned()], -1));
        let mut v9 = encode_subscription(&MemberSubscription { topics: vec!["t".to_owned()], ..Default::default() });
        v9[1] = 9;
        v9.extend([1, 2, 3]);
        assert_eq!(decode_subscription(&v9).unwrap().topics, ["t"]);
        assert_eq!(decode_assignment(&[]).unwrap(), Share::new());
    }

    #[test]
    fn a_lying_length_allocates_nothing() {
        let mut bytes = vec![0, 3];
        bytes.extend(i32::MAX.to_be_bytes());
        bytes.extend([0; 14]);
        assert!(decode_subscription(&bytes).is_err());
        assert!(decode_assignment(&bytes).is_err());
    }

    #[test]
    fn another_implementation_reads_and_writes_the_same_bytes() {
        use bytes::Bytes;
        use kafka_protocol::messages::consumer_protocol_subscription::TopicPartition;
        use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicName};
        use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

        let ours = MemberSubscription {
            topics: vec!["foo".to_owned(), "bar".to_owned()],
            user_data: Some(vec![1, 2]),
            owned: vec![("foo".to_owned(), vec![0, 3])],
            generation: 7,
            rack: Some("r1".to_owned()),
        };
        let owned = TopicPartition::default()
            .with_topic(TopicName(StrBytes::from_static_str("foo")))
            .with_partitions(vec![0, 3]);
        let theirs = ConsumerProtocolSubscription::default()
            .with_topics(vec![StrBytes::from_static_str("foo"), StrBytes::from_static_str("bar")])
            .with_user_data(Some(Bytes::from_static(&[1, 2])))
            .with_owned_partitions(vec![owned])
            .with_generation_id(7)
            .with_rack_id(Some(StrBytes::from_static_str("r1")));
        for version in 0..=3i16 {
            let mut bytes = version.to_be_bytes().to_vec();
            theirs.encode(&mut bytes, version).unwrap();
            let read = decode_subscription(&bytes).unwrap();
            assert_eq!(read.topics, ours.topics);
            assert_eq!(read.user_data, ours.user_data);
            assert_eq!(read.owned, if version >= 1 { ours.owned.clone() } else { Vec::new() });
            assert_eq!(read.generation, if version >= 2 { 7 } else { -1 });
            assert_eq!(read.rack.is_some(), version >= 3);
        }
        let bytes = encode_subscription(&ours);
        let read = ConsumerProtocolSubscription::decode(&mut Bytes::from(bytes[2..].to_vec()), 3).unwrap();
        assert_eq!(read, theirs);

        let share: Share = [("foo".to_owned(), vec![0, 3])].into();
        let bytes = encode_assignment(&share);
        let read = ConsumerProtocolAssignment::decode(&mut Bytes::from(bytes[2..].to_vec()), 3).unwrap();
        assert_eq!(read.assigned_partitions.len(), 1);
        assert_eq!(read.assigned_partitions[0].topic.0.as_str(), "foo");
        assert_eq!(read.assigned_partitions[0].partitions, [0, 3]);
        let mut bytes = 1i16.to_be_bytes().to_vec();
        read.encode(&mut bytes, 1).unwrap();
        assert_eq!(decode_assignment(&bytes).unwrap(), share);
    }
}

//! What members tell of their earlier shares.
//!
//! StickyAssignor's user data, version 1: an array of topics, each with its name and an array of partitions, then the
//! generation; version 0 ends before the generation. CooperativeStickyAssignor's is a generation alone, for
//! subscriptions older than version 2; the partitions are in the subscription (KIP-429), since version 2 with their
//! generation (KIP-792). All of it in the fixed encoding. What cannot be read is a member that owns nothing.

use std::collections::BTreeMap;

use crate::kafka::consumer::assignor::Member;
use crate::kafka::consumer::subscription::TopicPartition;
use crate::kafka::protocol::{Bytes, Decoder, Malformed};

/// What a member says that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claim {
    /// The generation in which it was assigned these; None where it does not tell.
    pub generation: Option<i32>,
    /// By topic; may name anything.
    pub partitions: Vec<(String, Vec<i32>)>,
}

impl Claim {
    /// As StickyAssignor's members tell it.
    pub(super) fn of_user_data(member: &Member) -> Self {
        let data = member.subscription.user_data.as_ref();
        data.and_then(|data| read(data, true).or_else(|_| read(data, false)).ok()).unwrap_or_default()
    }

    /// As CooperativeStickyAssignor's members tell it.
    pub(super) fn of_subscription(member: &Member) -> Self {
        let subscription = &member.subscription;
        let told = || Decoder::new(subscription.user_data.as_ref()?).i32().ok();
        let generation = if subscription.generation_id >= 0 { Some(subscription.generation_id) } else { told() };
        let owned = subscription.owned_partitions.iter();
        Self { generation, partitions: owned.map(|owned| (owned.topic.clone(), owned.partitions.clone())).collect() }
    }
}

/// StickyAssignor's user data, version 1.
pub(super) fn write(owned: &[TopicPartition], generation: i32) -> Bytes {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for TopicPartition { topic, partition } in owned {
        topics.entry(topic).or_default().push(*partition);
    }
    let mut data = Vec::new();
    data.extend((topics.len() as i32).to_be_bytes());
    for (topic, partitions) in topics {
        data.extend((topic.len() as i16).to_be_bytes());
        data.extend(topic.as_bytes());
        data.extend((partitions.len() as i32).to_be_bytes());
        partitions.iter().for_each(|partition| data.extend(partition.to_be_bytes()));
    }
    data.extend(generation.to_be_bytes());
    data.into()
}

/// CooperativeStickyAssignor's user data.
pub(super) fn write_generation(generation: i32) -> Bytes {
    generation.to_be_bytes().as_slice().into()
}

fn read(data: &Bytes, with_generation: bool) -> Result<Claim, Malformed> {
    let mut input = Decoder::new(data);
    let mut partitions = Vec::new();
    for _ in 0..input.array_length()?.unwrap_or_default() {
        let topic = input.string()?.unwrap_or_default();
        let numbers = (0..input.array_length()?.unwrap_or_default()).map(|_| input.i32()).collect::<Result<_, _>>()?;
        partitions.push((topic, numbers));
    }
    let generation = if with_generation { Some(input.i32()?) } else { None };
    Ok(Claim { generation, partitions })
}

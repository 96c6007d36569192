//! Which versions of which APIs are offered, as the Kafka of that version does.

use super::handlers;
use crate::kafka::protocol::{ApiKey, VersionRange};

/// The Kafka whose versions a broker offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// Kafka 2.4: the oldest encodings, no topic ids, no KIP-848.
    V2_4,
    /// Kafka 3.9.
    V3_9,
    /// Kafka 4.3, the default.
    #[default]
    V4_3,
}

impl Version {
    /// All of them, oldest first.
    pub const ALL: [Self; 3] = [Self::V2_4, Self::V3_9, Self::V4_3];

    /// `4.3`
    pub fn name(self) -> &'static str {
        match self {
            Self::V2_4 => "2.4",
            Self::V3_9 => "3.9",
            Self::V4_3 => "4.3",
        }
    }
}

/// The offered versions of each API.
#[derive(Clone, Debug)]
pub(super) struct Offered {
    offers: Vec<Offer>,
    /// Whether there are the groups of KIP-848, which Kafka tells as a feature (`group.version`), and clients look at that.
    pub(super) consumer_groups: bool,
}

/// One API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) key: ApiKey,
    /// What the answer to ApiVersions says.
    pub(super) told: VersionRange,
    /// What is served. Kafka 4 lists Produce from 0 on for the sake of an old librdkafka, and serves it from 3 on
    /// (KAFKA-18659).
    pub(super) served: VersionRange,
}

impl Offered {
    /// What a Kafka of this version offers, as far as it is built.
    pub(super) fn by(version: Version) -> Self {
        let column = version as usize;
        let offers = TABLE.iter().filter_map(|(key, ranges)| {
            let (min, max) = ranges[column]?;
            let served = handlers::versions(*key)?.intersection(VersionRange::new(min, max))?;
            let lowest = if *key == ApiKey::Produce { min } else { served.min };
            Some(Offer { key: *key, told: VersionRange::new(lowest, served.max), served })
        });
        let offers: Vec<Offer> = offers.collect();
        let consumer_groups = offers.iter().any(|offer| offer.key == ApiKey::ConsumerGroupHeartbeat);
        Self { offers, consumer_groups }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Offer> {
        self.offers.iter()
    }

    /// Whether this version of this API is served.
    pub(super) fn serves(&self, key: ApiKey, version: i16) -> bool {
        self.offers.iter().any(|offer| offer.key == key && offer.served.contains(version))
    }
}

type Row = (ApiKey, [Option<(i16, i16)>; 3]);

/// Kafka 2.4, 3.9 and 4.3, from their ApiVersions answers.
const TABLE: &[Row] = &[
    (ApiKey::Produce, [Some((0, 8)), Some((0, 11)), Some((0, 13))]),
    (ApiKey::Fetch, [Some((0, 11)), Some((0, 17)), Some((4, 18))]),
    (ApiKey::ListOffsets, [Some((0, 5)), Some((0, 9)), Some((1, 11))]),
    (ApiKey::Metadata, [Some((0, 9)), Some((0, 12)), Some((0, 13))]),
    (ApiKey::OffsetCommit, [Some((0, 8)), Some((0, 9)), Some((2, 10))]),
    (ApiKey::OffsetFetch, [Some((0, 6)), Some((0, 9)), Some((1, 10))]),
    (ApiKey::FindCoordinator, [Some((0, 3)), Some((0, 6)), Some((0, 6))]),
    (ApiKey::JoinGroup, [Some((0, 6)), Some((0, 9)), Some((0, 9))]),
    (ApiKey::Heartbeat, [Some((0, 4)), Some((0, 4)), Some((0, 4))]),
    (ApiKey::LeaveGroup, [Some((0, 4)), Some((0, 5)), Some((0, 5))]),
    (ApiKey::SyncGroup, [Some((0, 4)), Some((0, 5)), Some((0, 5))]),
    (ApiKey::DescribeGroups, [Some((0, 5)), Some((0, 5)), Some((0, 6))]),
    (ApiKey::ListGroups, [Some((0, 3)), Some((0, 5)), Some((0, 5))]),
    (ApiKey::ApiVersions, [Some((0, 3)), Some((0, 4)), Some((0, 4))]),
    (ApiKey::CreateTopics, [Some((0, 5)), Some((0, 7)), Some((2, 7))]),
    (ApiKey::DeleteTopics, [Some((0, 4)), Some((0, 6)), Some((1, 6))]),
    (ApiKey::DeleteRecords, [Some((0, 1)), Some((0, 2)), Some((0, 2))]),
    (ApiKey::InitProducerId, [Some((0, 2)), Some((0, 5)), Some((0, 5))]),
    (ApiKey::OffsetForLeaderEpoch, [Some((0, 3)), Some((0, 4)), Some((2, 4))]),
    (ApiKey::DescribeAcls, [Some((0, 1)), Some((0, 3)), Some((1, 3))]),
    (ApiKey::CreateAcls, [Some((0, 1)), Some((0, 3)), Some((1, 3))]),
    (ApiKey::DeleteAcls, [Some((0, 1)), Some((0, 3)), Some((1, 3))]),
    (ApiKey::DescribeConfigs, [Some((0, 2)), Some((0, 4)), Some((1, 4))]),
    (ApiKey::AlterConfigs, [Some((0, 1)), Some((0, 2)), Some((0, 2))]),
    (ApiKey::DescribeLogDirs, [Some((0, 1)), Some((0, 4)), Some((1, 5))]),
    (ApiKey::CreatePartitions, [Some((0, 1)), Some((0, 3)), Some((0, 3))]),
    (ApiKey::DeleteGroups, [Some((0, 2)), Some((0, 2)), Some((0, 2))]),
    (ApiKey::ElectLeaders, [Some((0, 2)), Some((0, 2)), Some((0, 2))]),
    (ApiKey::IncrementalAlterConfigs, [Some((0, 1)), Some((0, 1)), Some((0, 1))]),
    (ApiKey::ListPartitionReassignments, [Some((0, 0)), Some((0, 0)), Some((0, 0))]),
    (ApiKey::OffsetDelete, [Some((0, 0)), Some((0, 0)), Some((0, 0))]),
    (ApiKey::DescribeCluster, [None, Some((0, 1)), Some((0, 2))]),
    (ApiKey::DescribeProducers, [None, Some((0, 0)), Some((0, 0))]),
    (ApiKey::ConsumerGroupHeartbeat, [None, None, Some((0, 1))]),
    (ApiKey::ConsumerGroupDescribe, [None, None, Some((0, 1))]),
    (ApiKey::ListConfigResources, [None, Some((0, 0)), Some((0, 1))]),
    (ApiKey::DescribeTopicPartitions, [None, Some((0, 0)), Some((0, 0))]),
];

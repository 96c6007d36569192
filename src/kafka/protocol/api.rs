//! Which APIs there are, and which version of one to speak with a broker.

use std::fmt;

use super::error_code::ErrorCode;
use super::messages::ApiVersionsResponse;
use super::schema::Request;
use crate::kafka::error::{Error, ErrorKind, Result};

macro_rules! api_keys {
    ($($name:ident = $code:literal, $(flexible $flexible:literal +)? $(never $never:ident)?;)+) => {
        /// Kafka's APIs, as of Kafka 4.3.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum ApiKey {$(
            #[doc = concat!("`", stringify!($name), "`, key ", stringify!($code))]
            $name = $code,
        )+}

        impl ApiKey {
            /// All of them, by number.
            pub const ALL: &[ApiKey] = &[$(ApiKey::$name),+];

            /// Its first version in the flexible encoding (KIP-482), which the headers follow too; `None` if all its
            /// versions are in the fixed one.
            pub fn first_flexible(self) -> Option<i16> {
                match self {
                    $(ApiKey::$name => None $(.or(Some($flexible)))?,)+
                }
            }
        }
    };
}

api_keys! {
    Produce = 0, flexible 9+;
    Fetch = 1, flexible 12+;
    ListOffsets = 2, flexible 6+;
    Metadata = 3, flexible 9+;
    LeaderAndIsr = 4, flexible 4+;
    StopReplica = 5, flexible 2+;
    UpdateMetadata = 6, flexible 6+;
    ControlledShutdown = 7, flexible 3+;
    OffsetCommit = 8, flexible 8+;
    OffsetFetch = 9, flexible 6+;
    FindCoordinator = 10, flexible 3+;
    JoinGroup = 11, flexible 6+;
    Heartbeat = 12, flexible 4+;
    LeaveGroup = 13, flexible 4+;
    SyncGroup = 14, flexible 4+;
    DescribeGroups = 15, flexible 5+;
    ListGroups = 16, flexible 3+;
    SaslHandshake = 17, never flexible;
    ApiVersions = 18, flexible 3+;
    CreateTopics = 19, flexible 5+;
    DeleteTopics = 20, flexible 4+;
    DeleteRecords = 21, flexible 2+;
    InitProducerId = 22, flexible 2+;
    OffsetForLeaderEpoch = 23, flexible 4+;
    AddPartitionsToTxn = 24, flexible 3+;
    AddOffsetsToTxn = 25, flexible 3+;
    EndTxn = 26, flexible 3+;
    WriteTxnMarkers = 27, flexible 1+;
    TxnOffsetCommit = 28, flexible 3+;
    DescribeAcls = 29, flexible 2+;
    CreateAcls = 30, flexible 2+;
    DeleteAcls = 31, flexible 2+;
    DescribeConfigs = 32, flexible 4+;
    AlterConfigs = 33, flexible 2+;
    AlterReplicaLogDirs = 34, flexible 2+;
    DescribeLogDirs = 35, flexible 2+;
    SaslAuthenticate = 36, flexible 2+;
    CreatePartitions = 37, flexible 2+;
    CreateDelegationToken = 38, flexible 2+;
    RenewDelegationToken = 39, flexible 2+;
    ExpireDelegationToken = 40, flexible 2+;
    DescribeDelegationToken = 41, flexible 2+;
    DeleteGroups = 42, flexible 2+;
    ElectLeaders = 43, flexible 2+;
    IncrementalAlterConfigs = 44, flexible 1+;
    AlterPartitionReassignments = 45, flexible 0+;
    ListPartitionReassignments = 46, flexible 0+;
    OffsetDelete = 47, never flexible;
    DescribeClientQuotas = 48, flexible 1+;
    AlterClientQuotas = 49, flexible 1+;
    DescribeUserScramCredentials = 50, flexible 0+;
    AlterUserScramCredentials = 51, flexible 0+;
    Vote = 52, flexible 0+;
    BeginQuorumEpoch = 53, flexible 1+;
    EndQuorumEpoch = 54, flexible 1+;
    DescribeQuorum = 55, flexible 0+;
    AlterPartition = 56, flexible 0+;
    UpdateFeatures = 57, flexible 0+;
    Envelope = 58, flexible 0+;
    FetchSnapshot = 59, flexible 0+;
    DescribeCluster = 60, flexible 0+;
    DescribeProducers = 61, flexible 0+;
    BrokerRegistration = 62, flexible 0+;
    BrokerHeartbeat = 63, flexible 0+;
    UnregisterBroker = 64, flexible 0+;
    DescribeTransactions = 65, flexible 0+;
    ListTransactions = 66, flexible 0+;
    AllocateProducerIds = 67, flexible 0+;
    ConsumerGroupHeartbeat = 68, flexible 0+;
    ConsumerGroupDescribe = 69, flexible 0+;
    ControllerRegistration = 70, flexible 0+;
    GetTelemetrySubscriptions = 71, flexible 0+;
    PushTelemetry = 72, flexible 0+;
    AssignReplicasToDirs = 73, flexible 0+;
    ListConfigResources = 74, flexible 0+;
    DescribeTopicPartitions = 75, flexible 0+;
    ShareGroupHeartbeat = 76, flexible 0+;
    ShareGroupDescribe = 77, flexible 0+;
    ShareFetch = 78, flexible 0+;
    ShareAcknowledge = 79, flexible 0+;
    AddRaftVoter = 80, flexible 0+;
    RemoveRaftVoter = 81, flexible 0+;
    UpdateRaftVoter = 82, flexible 0+;
    InitializeShareGroupState = 83, flexible 0+;
    ReadShareGroupState = 84, flexible 0+;
    WriteShareGroupState = 85, flexible 0+;
    DeleteShareGroupState = 86, flexible 0+;
    ReadShareGroupStateSummary = 87, flexible 0+;
    StreamsGroupHeartbeat = 88, flexible 0+;
    StreamsGroupDescribe = 89, flexible 0+;
    DescribeShareGroupOffsets = 90, flexible 0+;
    AlterShareGroupOffsets = 91, flexible 0+;
    DeleteShareGroupOffsets = 92, flexible 0+;
}

impl ApiKey {
    /// The API with this number.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }

    /// Its number.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// Whether this version is in the flexible encoding.
    pub fn is_flexible(self, version: i16) -> bool {
        self.first_flexible().is_some_and(|first| version >= first)
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Versions of one API, both ends included; shown as `3..12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VersionRange {
    /// The lowest version.
    pub min: i16,
    /// The highest version.
    pub max: i16,
}

impl VersionRange {
    /// The versions from `min` to `max`.
    pub const fn new(min: i16, max: i16) -> Self {
        Self { min, max }
    }

    /// Whether it holds this version.
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// The versions that both hold.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let both = Self::new(self.min.max(other.min), self.max.min(other.max));
        (both.min <= both.max).then_some(both)
    }

    /// Each version, lowest first.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = i16> {
        self.min..=self.max
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.min, self.max)
    }
}

/// The versions that one broker said it serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiVersions {
    /// By API number, each once.
    ranges: Vec<(i16, VersionRange)>,
}

impl ApiVersions {
    /// What a broker answered. Entries that make no sense (an API twice, no version in the range) are left out: the
    /// first of a kind counts.
    ///
    /// # Errors
    /// The answer's error code.
    pub fn from_response(response: &ApiVersionsResponse) -> Result<Self> {
        if !response.error_code.is_ok() {
            return Err(Error::broker_code(ApiKey::ApiVersions, response.error_code, None));
        }
        let ranges =
            response.api_keys.iter().map(|api| (api.api_key, VersionRange::new(api.min_version, api.max_version)));
        Ok(ranges.collect())
    }

    /// With which version to ask again after an answer that refused version `asked` of ApiVersions with
    /// UNSUPPORTED_VERSION: the highest lower one that the answer offers (KIP-511), 0 if it offers none. `None` if it is
    /// another answer, or there is nothing lower to ask with, so that asking again always ends.
    pub fn version_to_retry(response: &ApiVersionsResponse, asked: i16) -> Option<i16> {
        if response.error_code != ErrorCode::UNSUPPORTED_VERSION || asked <= 0 {
            return None;
        }
        let offered = response.api_keys.iter().find(|api| api.api_key == ApiKey::ApiVersions.code());
        Some(offered.map_or(0, |api| api.max_version).clamp(0, asked - 1))
    }

    /// The versions that the broker offers of this API.
    pub fn range(&self, key: ApiKey) -> Option<VersionRange> {
        let at = self.ranges.binary_search_by_key(&key.code(), |(code, _)| *code).ok()?;
        Some(self.ranges[at].1)
    }

    /// The highest version of this request that both the client and the broker speak.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] if there is none; the text names both ranges.
    pub fn negotiate<R: Request>(&self) -> Result<i16> {
        self.negotiate_up_to::<R>(i16::MAX)
    }

    /// The same, but not above `most`.
    ///
    /// # Errors
    /// As [`negotiate`](Self::negotiate).
    pub fn negotiate_up_to<R: Request>(&self, most: i16) -> Result<i16> {
        let (key, all) = (R::KEY, R::CLIENT_VERSIONS);
        let asked = VersionRange::new(all.min, all.max.min(most));
        let offered = self.range(key);
        if let Some(both) = offered.and_then(|offered| offered.intersection(asked)) {
            return Ok(both.max);
        }
        let offer = match offered {
            None => format!("it does not offer {key} at all"),
            Some(offered) if offered.max < asked.min => format!("it offers {offered} (Kafka older than 2.4?)"),
            Some(offered) => format!("it offers {offered} (a broker newer than this client?)"),
        };
        Err(Error::new(ErrorKind::Protocol, format!("broker supports none of {key} {asked}, {offer}")))
    }
}

impl FromIterator<(i16, VersionRange)> for ApiVersions {
    fn from_iter<I: IntoIterator<Item = (i16, VersionRange)>>(ranges: I) -> Self {
        let mut ranges: Vec<_> =
            ranges.into_iter().filter(|(_, range)| range.min <= range.max && range.max >= 0).collect();
        ranges.sort_by_key(|(code, _)| *code);
        ranges.dedup_by_key(|(code, _)| *code);
        Self { ranges }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::protocol::messages::{ApiVersion, ApiVersionsRequest, ProduceRequest};

    fn answer(ranges: &[(i16, i16, i16)]) -> ApiVersionsResponse {
        let api_keys =
            ranges.iter().map(|&(api_key, min_version, max_version)| ApiVersion { api_key, min_version, max_version });
        ApiVersionsResponse { api_keys: api_keys.collect(), ..Default::default() }
    }

    #[test]
    fn api_keys_are_dense_and_named_as_in_kafka() {
        for (code, &key) in (0..).zip(ApiKey::ALL) {
            assert_eq!((key.code(), ApiKey::from_code(code)), (code, Some(key)));
        }
        assert_eq!(format!("{:?} {}", ApiKey::OffsetForLeaderEpoch, ApiKey::ALL.len()), "OffsetForLeaderEpoch 93");
        assert_eq!([ApiKey::from_code(-1), ApiKey::from_code(93), ApiKey::from_code(32000)], [None; 3]);
        assert!(!ApiKey::SaslHandshake.is_flexible(1) && ApiKey::Produce.is_flexible(9));
    }

    #[test]
    fn the_highest_common_version_is_chosen() {
        let negotiate =
            |min, max| ApiVersions::from_response(&answer(&[(0, min, max)])).unwrap().negotiate::<ProduceRequest>();
        assert_eq!(negotiate(0, 13).unwrap(), 12);
        assert_eq!(negotiate(3, 8).unwrap(), 8);
        let older = negotiate(0, 2).unwrap_err().to_string();
        assert_eq!(older, "broker supports none of Produce 3..12, it offers 0..2 (Kafka older than 2.4?)");
        let newer = negotiate(14, 15).unwrap_err().to_string();
        assert_eq!(newer, "broker supports none of Produce 3..12, it offers 14..15 (a broker newer than this client?)");
    }

    /// Seen in audits of other clients: an empty list, ranges the wrong way round and an API listed twice.
    #[test]
    fn senseless_answers_end_in_one_error() {
        let none = "broker supports none of Produce 3..12, it does not offer Produce at all";
        for ranges in [&[][..], &[(0, 9, 3)], &[(0, -5, -1)], &[(1, 3, 12)]] {
            let versions = ApiVersions::from_response(&answer(ranges)).unwrap();
            assert_eq!(versions.negotiate::<ProduceRequest>().unwrap_err().to_string(), none);
        }
        let twice = ApiVersions::from_response(&answer(&[(0, 3, 7), (1, 4, 11), (0, 0, 13)])).unwrap();
        assert_eq!(twice.negotiate::<ProduceRequest>().unwrap(), 7);
        let refused = ApiVersionsResponse { error_code: ErrorCode(41), ..Default::default() };
        assert!(ApiVersions::from_response(&refused).unwrap_err().to_string().starts_with("NOT_CONTROLLER"));
    }

    #[test]
    fn asking_again_always_goes_down() {
        let refused = |ranges| ApiVersionsResponse { error_code: ErrorCode::UNSUPPORTED_VERSION, ..answer(ranges) };
        assert_eq!(ApiVersions::version_to_retry(&refused(&[(18, 0, 2)]), 4), Some(2));
        assert_eq!(ApiVersions::version_to_retry(&refused(&[(18, 0, 9)]), 4), Some(3));
        assert_eq!(ApiVersions::version_to_retry(&refused(&[]), 4), Some(0));
        assert_eq!(ApiVersions::version_to_retry(&refused(&[(18, 0, -7)]), 1), Some(0));
        assert_eq!(ApiVersions::version_to_retry(&refused(&[(18, 0, 3)]), 0), None);
        assert_eq!(ApiVersions::version_to_retry(&answer(&[(18, 0, 3)]), 4), None);
        assert!(ApiVersionsRequest::CLIENT_VERSIONS.contains(0));
    }
}

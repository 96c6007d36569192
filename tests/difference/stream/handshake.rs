//! ApiVersions, and requests that no broker knows.

use krs::kafka::protocol::messages::*;
use krs::kafka::protocol::{ApiKey, ApiVersions, Request};

use crate::player::Player;

/// The APIs whose versions are compared: those that a program for producing, consuming and administering topics and
/// groups calls.
const APIS: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::SyncGroup,
    ApiKey::DescribeGroups,
    ApiKey::ListGroups,
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::DeleteRecords,
    ApiKey::InitProducerId,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::DescribeConfigs,
    ApiKey::AlterConfigs,
    ApiKey::CreatePartitions,
    ApiKey::DeleteGroups,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::OffsetDelete,
    ApiKey::DescribeCluster,
    ApiKey::ConsumerGroupHeartbeat,
    ApiKey::ConsumerGroupDescribe,
    ApiKey::DescribeTopicPartitions,
];

/// The one feature that programs look at: whether there are consumer groups (KIP-848).
const FEATURE: &str = "group.version";

pub fn play(player: &mut Player) {
    for version in ApiVersionsRequest::VERSIONS.iter() {
        player.ask_part("what is served", version, &software("difference"), only_compared);
        player.ask_part("an illegal software name", version, &software("dif ference"), only_compared);
    }
    // Beyond what either side knows: only the version in the header differs from a sound request.
    for version in [5, 99, i16::MAX] {
        let mut bytes = Player::frame(&software("difference"), 4);
        bytes[6..8].copy_from_slice(&version.to_be_bytes());
        player.ask_bytes_part::<ApiVersionsRequest>("a version that is not known", version, &bytes, only_compared);
    }
    player.ask_part("again, on the same connection", 4, &software("difference"), only_compared);
    unknown(player);
}

/// APIs that no client may call, and versions that no broker serves.
fn unknown(player: &mut Player) {
    for key in [-1, 500, i16::MAX] {
        player.ask_foreign("an API that does not exist", key, 0);
    }
    for key in [ApiKey::LeaderAndIsr, ApiKey::ControlledShutdown, ApiKey::Vote, ApiKey::BrokerHeartbeat] {
        player.ask_foreign("an API that is not for clients", key.code(), 0);
    }
    let offered = player.quietly(4, &software("difference"));
    let offered = ApiVersions::from_response(&offered).unwrap_or_default();
    for &key in APIS.iter().filter(|&&key| key != ApiKey::ApiVersions) {
        let range = offered.range(key);
        let above = range.map_or(99, |range| range.max + 1);
        // Kafka lists the lowest versions of Produce and does not serve them.
        let below = if key == ApiKey::Produce { 2 } else { range.map_or(-1, |range| range.min - 1) };
        for version in [above, below, -5] {
            player.ask_foreign("a version that is not served", key.code(), version);
        }
    }
}

fn software(name: &str) -> ApiVersionsRequest {
    ApiVersionsRequest { client_software_name: name.to_owned(), client_software_version: "1.0".to_owned() }
}

fn only_compared(answer: &mut ApiVersionsResponse) {
    answer.api_keys.retain(|api| APIS.iter().any(|key| key.code() == api.api_key));
    answer.supported_features.retain(|feature| feature.name == FEATURE);
    answer.finalized_features.retain(|feature| feature.name == FEATURE);
}

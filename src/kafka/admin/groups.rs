//! Groups of both protocols: listed, described, deleted.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use super::offsets::about;
use super::{Admin, checked, unmentioned};
use crate::clock::Deadline;
use crate::kafka::consumer::TopicPartition;
use crate::kafka::error::{Error, Result};
use crate::kafka::net::Connection;
use crate::kafka::protocol::messages::{
    ConsumerGroupDescribeAssignment, ConsumerGroupDescribeRequest, ConsumerProtocolAssignment, DeleteGroupsRequest,
    DescribeGroupsRequest, DescribedConsumerGroup, DescribedGroup, ListGroupsRequest, ListedGroup,
};
use crate::kafka::protocol::{ApiKey, ErrorCode};

/// Which protocol a group's members speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupType {
    /// JoinGroup and SyncGroup: members share the partitions out among themselves.
    Classic,
    /// KIP-848: the coordinator does.
    Consumer,
    /// A share group (KIP-932).
    Share,
    /// Kafka Streams' own (KIP-1071).
    Streams,
    /// Not told.
    Unknown,
}

/// A group as the list of all has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its id.
    pub id: String,
    /// `Stable`, `Empty`, `PreparingRebalance`, …, as the coordinator calls it; empty from a broker older than 2.6.
    pub state: String,
    /// What its members speak; brokers older than 3.8 do not tell.
    pub kind: GroupType,
    /// `consumer` for consumers; empty for a group that only keeps offsets.
    pub protocol_type: String,
}

/// A group with its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub id: String,
    /// `Stable` and `Empty` for both types; `PreparingRebalance` and `CompletingRebalance` for classic groups, `Assigning`
    /// and `Reconciling` for those of KIP-848.
    pub state: String,
    /// What its members speak.
    pub kind: GroupType,
    /// `consumer` for consumers; empty for a group that only keeps offsets.
    pub protocol_type: String,
    /// How the partitions are shared out; empty while that is not decided.
    pub assignor: String,
    /// The node that coordinates it.
    pub coordinator: i32,
    /// Where that node is, `host:port`.
    pub coordinator_address: String,
    /// By client id, host and member id.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// What the coordinator, or the member itself, calls it.
    pub id: String,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance_id: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// What it owns, sorted; empty for a classic group that is not stable.
    pub assignment: Vec<TopicPartition>,
    /// What it is to own (KIP-848); the same as `assignment` where the protocol makes no difference.
    pub target: Vec<TopicPartition>,
}

impl GroupType {
    fn from_name(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "classic" => Self::Classic,
            "consumer" => Self::Consumer,
            "share" => Self::Share,
            "streams" => Self::Streams,
            _ => Self::Unknown,
        }
    }

    /// In one word, as Kafka's tools have it, in small letters: `classic`, `consumer`, …
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
            Self::Share => "share",
            Self::Streams => "streams",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for GroupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl From<ListedGroup> for GroupListing {
    fn from(group: ListedGroup) -> Self {
        Self {
            id: group.group_id,
            state: group.group_state,
            kind: GroupType::from_name(&group.group_type),
            protocol_type: group.protocol_type,
        }
    }
}

impl Admin {
    /// All groups that this client may see, by id: each broker is asked for those that it coordinates.
    ///
    /// # Errors
    /// A broker of the cluster did not answer within `default.api.timeout.ms`: the list would not be whole.
    pub fn list_groups(&self) -> Result<Vec<GroupListing>> {
        let mut done = BTreeSet::new();
        let mut groups: Vec<GroupListing> = Vec::new();
        self.attempt(self.deadline(), |tries| {
            // A broker that has left the cluster coordinates nothing any more.
            for &node in self.cluster.snapshot().brokers.keys() {
                if done.contains(&node) {
                    continue;
                }
                let step = tries.step();
                let response =
                    self.talk(node, step, |connection| connection.call(&ListGroupsRequest::default(), step))?;
                checked(ApiKey::ListGroups, response.error_code, None)?;
                done.insert(node);
                groups.extend(response.groups.into_iter().map(GroupListing::from));
            }
            Ok(())
        })?;
        groups.sort_by(|one, other| one.id.cmp(&other.id));
        // A group that moved meanwhile was listed twice.
        groups.dedup_by(|one, other| one.id == other.id);
        Ok(groups)
    }

    /// Describes these groups, whichever protocol they speak.
    ///
    /// # Errors
    /// For each: it does not exist (`GROUP_ID_NOT_FOUND`), may not be seen, or no coordinator answered within
    /// `default.api.timeout.ms`.
    pub fn describe_groups(&self, groups: &[&str]) -> Vec<Result<GroupDescription>> {
        self.groups_described(groups, self.deadline())
    }

    pub(super) fn groups_described(&self, groups: &[&str], deadline: Deadline) -> Vec<Result<GroupDescription>> {
        let located = |groups: &[&&str], step: Deadline| self.coordinators(groups, step);
        self.spread(groups, deadline, located, |node, groups, _, step| {
            self.talk(node, step, |connection| describe(connection, node, groups, step))
        })
    }

    /// Deletes groups without members, with what they have committed.
    ///
    /// # Errors
    /// For each: it has members (`NON_EMPTY_GROUP`), does not exist (`GROUP_ID_NOT_FOUND`), may not be deleted, or no
    /// coordinator answered within `default.api.timeout.ms`.
    pub fn delete_groups(&self, groups: &[&str]) -> Vec<Result<()>> {
        let located = |groups: &[&&str], step: Deadline| self.coordinators(groups, step);
        self.spread(groups, self.deadline(), located, |node, groups, tries, step| {
            let names = groups.iter().map(|group| (**group).to_owned()).collect();
            let response = self
                .talk(node, step, |connection| connection.call(&DeleteGroupsRequest { groups_names: names }, step))?;
            let result = |group: &&&str| {
                let found = response.results.iter().find(|result| result.group_id == **group);
                let found = found.ok_or_else(|| unmentioned(ApiKey::DeleteGroups, "group"))?;
                match found.error_code {
                    // An earlier attempt was carried out, its answer lost.
                    ErrorCode::GROUP_ID_NOT_FOUND if tries.perhaps_done => Ok(()),
                    code => checked(ApiKey::DeleteGroups, code, None).map_err(|error| about(group, error)),
                }
            };
            Ok(groups.iter().map(result).collect())
        })
    }
}

/// Asks the coordinator: first as groups of KIP-848 where it knows those, then, for what is none, as classic ones.
fn describe(
    connection: &mut Connection,
    node: i32,
    groups: &[&&str],
    step: Deadline,
) -> Result<Vec<Result<GroupDescription>>> {
    let mut found: HashMap<String, Result<GroupDescription>> = HashMap::new();
    let address = connection.broker().to_owned();
    if connection.versions().negotiate::<ConsumerGroupDescribeRequest>().is_ok() {
        let group_ids = groups.iter().map(|group| (**group).to_owned()).collect();
        let request = ConsumerGroupDescribeRequest { group_ids, ..Default::default() };
        for group in connection.call(&request, step)?.groups {
            let described = match group.error_code {
                // None of this type, or a broker on which the protocol is switched off.
                ErrorCode::GROUP_ID_NOT_FOUND | ErrorCode::UNSUPPORTED_VERSION => continue,
                code => checked(ApiKey::ConsumerGroupDescribe, code, group.error_message.as_deref())
                    .map_err(|error| about(&group.group_id, error)),
            };
            let id = group.group_id.clone();
            found.insert(id, described.map(|()| of_consumer_group(group, node, &address)));
        }
    }
    let rest: Vec<String> =
        groups.iter().filter(|group| !found.contains_key(**group as &str)).map(|group| (**group).to_owned()).collect();
    if !rest.is_empty() {
        let request = DescribeGroupsRequest { groups: rest, ..Default::default() };
        for group in connection.call(&request, step)?.groups {
            let id = group.group_id.clone();
            found.insert(id, of_classic_group(group, node, &address));
        }
    }
    let answer = |group: &&&str| {
        found.remove(**group).unwrap_or_else(|| Err(about(group, unmentioned(ApiKey::DescribeGroups, "group"))))
    };
    Ok(groups.iter().map(answer).collect())
}

fn of_consumer_group(group: DescribedConsumerGroup, node: i32, address: &str) -> GroupDescription {
    let partitions = |assignment: ConsumerGroupDescribeAssignment| {
        let topics = assignment.topic_partitions.into_iter();
        listed(topics.map(|topic| (topic.topic_name, topic.partitions)))
    };
    let members = group.members.into_iter().map(|member| GroupMember {
        id: member.member_id,
        instance_id: member.instance_id,
        client_id: member.client_id,
        host: host(&member.client_host),
        assignment: partitions(member.assignment),
        target: partitions(member.target_assignment),
    });
    GroupDescription {
        id: group.group_id,
        state: group.group_state,
        kind: GroupType::Consumer,
        protocol_type: "consumer".to_owned(),
        assignor: group.assignor_name,
        coordinator: node,
        coordinator_address: address.to_owned(),
        members: sorted(members),
    }
}

fn of_classic_group(group: DescribedGroup, node: i32, address: &str) -> Result<GroupDescription> {
    let api = ApiKey::DescribeGroups;
    let missing = || {
        let code = ErrorCode::GROUP_ID_NOT_FOUND;
        Err(about(&group.group_id, Error::broker_code(api, code, None)))
    };
    match group.error_code {
        // The broker's own words speak of the type.
        ErrorCode::GROUP_ID_NOT_FOUND => return missing(),
        code => checked(api, code, group.error_message.as_deref()).map_err(|error| about(&group.group_id, error))?,
    }
    // That is how it is told before version 6.
    if group.group_state == "Dead" {
        return missing();
    }
    let consumers = group.protocol_type == "consumer";
    let members = group.members.into_iter().map(|member| {
        // What an assignment of something else than consumers means, only that knows.
        let assignment = if consumers {
            ConsumerProtocolAssignment::from_bytes(&member.member_assignment).unwrap_or_default()
        } else {
            ConsumerProtocolAssignment::default()
        };
        let topics = assignment.assigned_partitions.into_iter();
        let assignment = listed(topics.map(|topic| (topic.topic, topic.partitions)));
        GroupMember {
            id: member.member_id,
            instance_id: member.group_instance_id,
            client_id: member.client_id,
            host: host(&member.client_host),
            target: assignment.clone(),
            assignment,
        }
    });
    Ok(GroupDescription {
        state: group.group_state,
        kind: GroupType::Classic,
        assignor: group.protocol_data,
        coordinator: node,
        coordinator_address: address.to_owned(),
        members: sorted(members),
        id: group.group_id,
        protocol_type: group.protocol_type,
    })
}

/// Java's form of an address without a name, `/127.0.0.1`, without the slash.
fn host(told: &str) -> String {
    told.strip_prefix('/').unwrap_or(told).to_owned()
}

fn listed(topics: impl Iterator<Item = (String, Vec<i32>)>) -> Vec<TopicPartition> {
    let mut all = Vec::new();
    for (topic, partitions) in topics {
        let topic: std::sync::Arc<str> = topic.into();
        all.extend(partitions.into_iter().map(|partition| TopicPartition { topic: topic.clone(), partition }));
    }
    all.sort_unstable();
    all
}

fn sorted(members: impl Iterator<Item = GroupMember>) -> Vec<GroupMember> {
    let mut members: Vec<_> = members.collect();
    members.sort_by(|one, other| (&one.client_id, &one.host, &one.id).cmp(&(&other.client_id, &other.host, &other.id)));
    members
}

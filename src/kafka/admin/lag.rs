//! How far groups are behind.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::offsets::OffsetSpec;
use super::{Admin, GroupDescription, GroupMember};
use crate::clock::{self, Deadline};
use crate::kafka::consumer::TopicPartition;
use crate::kafka::error::Result;

/// How far a group is behind.
#[derive(Clone, Debug)]
pub struct GroupLag {
    /// The group, as it was at about the same time.
    pub group: GroupDescription,
    /// Each partition that the group has committed an offset for or that a member has, by topic and partition.
    pub partitions: Vec<PartitionLag>,
}

/// How far a group is behind in one partition.
#[derive(Clone, Debug)]
pub struct PartitionLag {
    /// Which one.
    pub partition: TopicPartition,
    /// The next record to read; `None` if nothing is committed.
    pub committed: Option<i64>,
    /// Behind the last record; `None` if that is not known: the topic is gone, or no broker leads it.
    pub end: Option<i64>,
    /// Records from `committed` to `end`; never negative, for `committed` was asked for first. `None` if one of the two
    /// is not known.
    pub lag: Option<i64>,
    /// For how long, in milliseconds, the record at `committed` has been waiting, by its own time and this machine's
    /// clock: 0 without lag, `None` if it is not known.
    pub lag_ms: Option<i64>,
    /// The id of the member that has the partition.
    pub member: Option<String>,
}

impl GroupLag {
    /// All records that the group is behind, where it is known.
    pub fn total(&self) -> i64 {
        self.partitions.iter().filter_map(|partition| partition.lag).fold(0, i64::saturating_add)
    }

    /// The same per topic.
    pub fn topics(&self) -> BTreeMap<&str, i64> {
        let mut topics = BTreeMap::new();
        for partition in &self.partitions {
            let total: &mut i64 = topics.entry(&*partition.partition.topic).or_default();
            *total = total.saturating_add(partition.lag.unwrap_or(0));
        }
        topics
    }
}

impl Admin {
    /// How far these groups are behind, in records and in time. One request per coordinator for what is committed, then
    /// one per leader for the ends of the logs; for the times, the record at each committed offset is read.
    ///
    /// # Errors
    /// For each: as [`describe_groups`](Self::describe_groups) and [`committed_offsets`](Self::committed_offsets). A
    /// partition whose leader does not answer only leaves its own numbers out.
    pub fn lag(&self, groups: &[&str]) -> Vec<Result<GroupLag>> {
        let deadline = self.deadline();
        let described = self.groups_described(groups, deadline);
        // Before the ends, so that lag is never negative only because the group went on meanwhile.
        let committed = self.committed(groups, deadline);
        let mut lags: Vec<Result<GroupLag>> = described
            .into_iter()
            .zip(committed)
            .map(|(group, committed)| {
                let group = group?;
                let partitions = positions(&group, committed?.into_iter().map(|it| (it.partition, it.offset)));
                Ok(GroupLag { group, partitions })
            })
            .collect();
        self.fill_in_ends(&mut lags, deadline);
        self.fill_in_times(&mut lags, deadline);
        lags
    }

    fn fill_in_ends(&self, lags: &mut [Result<GroupLag>], deadline: Deadline) {
        let all = lags.iter().flatten().flat_map(|lag| &lag.partitions);
        let asked: BTreeSet<TopicPartition> = all.map(|partition| partition.partition.clone()).collect();
        let asked: Vec<_> = asked.into_iter().map(|partition| (partition, OffsetSpec::Latest)).collect();
        let ends: HashMap<TopicPartition, Option<i64>> = self
            .listed(&asked, deadline)
            .into_iter()
            .zip(asked)
            .map(|(end, (partition, _))| {
                let end = end.unwrap_or_else(|error| {
                    log::warn!("the end of {}-{} is not known: {error}", partition.topic, partition.partition);
                    None
                });
                (partition, end)
            })
            .collect();
        for partition in lags.iter_mut().flatten().flat_map(|lag| &mut lag.partitions) {
            partition.end = ends.get(&partition.partition).copied().flatten();
            let lag = partition.committed.zip(partition.end);
            partition.lag = lag.map(|(committed, end)| end.saturating_sub(committed).max(0));
            partition.lag_ms = partition.lag.filter(|lag| *lag == 0);
        }
    }

    fn fill_in_times(&self, lags: &mut [Result<GroupLag>], deadline: Deadline) {
        let behind = |partition: &&PartitionLag| partition.lag.is_some_and(|lag| lag > 0);
        let all = lags.iter().flatten().flat_map(|lag| &lag.partitions).filter(behind);
        let asked: BTreeSet<(TopicPartition, i64)> =
            all.filter_map(|partition| Some((partition.partition.clone(), partition.committed?))).collect();
        let asked: Vec<_> = asked.into_iter().collect();
        let times = self.timestamps(&asked, deadline);
        let times: HashMap<(TopicPartition, i64), i64> = asked
            .into_iter()
            .zip(times)
            .filter_map(|(record, time)| match time {
                Ok(time) => Some((record, time?)),
                Err(error) => {
                    log::warn!("the time of a record is not known: {error}");
                    None
                }
            })
            .collect();
        let now = clock::milliseconds();
        for partition in lags.iter_mut().flatten().flat_map(|lag| &mut lag.partitions) {
            if let Some(committed) = partition.committed.filter(|_| partition.lag.is_some_and(|lag| lag > 0)) {
                let time = times.get(&(partition.partition.clone(), committed));
                // A producer's clock may be ahead of this one.
                partition.lag_ms = time.map(|time| now.saturating_sub(*time).max(0));
            }
        }
    }
}

/// Each partition that is committed or that a member has.
fn positions(group: &GroupDescription, committed: impl Iterator<Item = (TopicPartition, i64)>) -> Vec<PartitionLag> {
    let mut all: BTreeMap<TopicPartition, (Option<i64>, Option<&GroupMember>)> =
        committed.map(|(partition, offset)| (partition, (Some(offset), None))).collect();
    for member in &group.members {
        for partition in &member.assignment {
            all.entry(partition.clone()).or_default().1 = Some(member);
        }
    }
    all.into_iter()
        .map(|(partition, (committed, member))| PartitionLag {
            partition,
            committed,
            end: None,
            lag: None,
            lag_ms: None,
            member: member.map(|member| member.id.clone()),
        })
        .collect()
}

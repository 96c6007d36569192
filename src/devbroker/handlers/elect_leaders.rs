//! ElectLeaders: gives partitions back to their preferred leaders.

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::partition::Refused;
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{
    ElectLeadersPartitionResult, ElectLeadersRequest, ElectLeadersResponse, ReplicaElectionResult,
};

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

impl Handler for ElectLeadersRequest {
    fn serve(self, call: &Call<'_>) -> Reply<ElectLeadersResponse> {
        if ![PREFERRED, UNCLEAN].contains(&self.election_type) {
            let text = format!("Unknown election type {}", self.election_type);
            return Reply::Answer(self.refused(&Refused::new(ErrorCode::INVALID_REQUEST, text)));
        }
        let elect = |topic: &str, partition: i32| self.elect(call, topic, partition).err();
        let Some(asked) = &self.topic_partitions else {
            // Who leads as is wanted is not named then.
            let results = call.cluster.topics().into_iter().map(|topic| {
                let outcomes = (0..topic.partition_count() as i32).map(|index| told(index, elect(&topic.name, index)));
                let changed = outcomes.filter(|told| told.error_code != ErrorCode::ELECTION_NOT_NEEDED);
                ReplicaElectionResult { topic: topic.name.clone(), partition_result: changed.collect() }
            });
            let replica_election_results = results.collect();
            return Reply::Answer(ElectLeadersResponse { replica_election_results, ..Default::default() });
        };
        let results = asked.iter().map(|asked| {
            let outcomes = asked.partitions.iter().map(|&index| told(index, elect(&asked.topic, index)));
            ReplicaElectionResult { topic: asked.topic.clone(), partition_result: outcomes.collect() }
        });
        let replica_election_results = results.collect();
        Reply::Answer(ElectLeadersResponse { replica_election_results, ..Default::default() })
    }

    fn refuse(&self, _: &Call<'_>, code: ErrorCode) -> ElectLeadersResponse {
        self.refused(&code.into())
    }

    fn subject(&self) -> Subject<'_> {
        Subject::topics(self.topic_partitions.iter().flatten().map(|asked| asked.topic.as_str()))
    }
}

impl ElectLeadersRequest {
    fn refused(&self, refused: &Refused) -> ElectLeadersResponse {
        let results = self.topic_partitions.iter().flatten().map(|asked| {
            let outcomes = asked.partitions.iter().map(|&index| told(index, Some(refused.clone())));
            ReplicaElectionResult { topic: asked.topic.clone(), partition_result: outcomes.collect() }
        });
        let replica_election_results = results.collect();
        ElectLeadersResponse { error_code: refused.code, replica_election_results, ..Default::default() }
    }

    fn elect(&self, call: &Call<'_>, name: &str, index: i32) -> Result<(), Refused> {
        let unknown = |text: String| Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, text);
        let topic = call.cluster.topic(name).ok_or_else(|| unknown(format!("No such topic as {name}")))?;
        let partition =
            topic.partition(index).ok_or_else(|| unknown(format!("No such partition as {name}-{index}")))?;
        let (up, _) = call.cluster.ids();
        let state = partition.state();
        let preferred = state.replicas.first().copied();
        let needed = match self.election_type {
            PREFERRED => state.leader != preferred,
            _ => state.leader.is_none(),
        };
        if !needed {
            let code = ErrorCode::ELECTION_NOT_NEEDED;
            return Err(Refused::new(code, code.description()));
        }
        // A partition without a leader has no replica that is up.
        let otherwise = match self.election_type {
            PREFERRED => ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE,
            _ => ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE,
        };
        let next = preferred.filter(|node| up.contains(node) && state.in_sync.contains(node));
        let next = next.ok_or_else(|| Refused::new(otherwise, otherwise.description()))?;
        drop(state);
        call.cluster.while_up(next, || partition.state().lead(Some(next)));
        Ok(())
    }
}

fn told(partition_id: i32, refused: Option<Refused>) -> ElectLeadersPartitionResult {
    let (error_code, error_message) = refused.map_or((ErrorCode::NONE, None), |refused| (refused.code, refused.message));
    ElectLeadersPartitionResult { partition_id, error_code, error_message }
}

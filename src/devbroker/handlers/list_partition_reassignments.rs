//! ListPartitionReassignments: replicas are never moved here.

use super::super::call::{Call, Handler, Reply, Subject};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

impl Handler for ListPartitionReassignmentsRequest {
    fn serve(self, _: &Call<'_>) -> Reply<ListPartitionReassignmentsResponse> {
        Reply::Answer(ListPartitionReassignmentsResponse { error_message: None, ..Default::default() })
    }

    fn refuse(&self, _: &Call<'_>, error_code: ErrorCode) -> ListPartitionReassignmentsResponse {
        ListPartitionReassignmentsResponse { error_code, ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        Subject::topics(self.topics.iter().flatten().map(|topic| topic.name.as_str()))
    }
}

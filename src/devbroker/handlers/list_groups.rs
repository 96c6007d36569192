//! ListGroups: the groups that the asked broker coordinates.

use super::super::call::{Call, Handler, Reply};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{ListGroupsRequest, ListGroupsResponse};

impl Handler for ListGroupsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<ListGroupsResponse> {
        let mut groups = call.cluster.with_groups(|groups, _| groups.list(&self.states_filter, &self.types_filter));
        groups.retain(|group| call.check_coordinator(&group.group_id).is_ok());
        Reply::Answer(ListGroupsResponse { groups, ..Default::default() })
    }

    fn refuse(&self, _: &Call<'_>, error_code: ErrorCode) -> ListGroupsResponse {
        ListGroupsResponse { error_code, ..Default::default() }
    }
}

//! DeleteGroups: removes groups without members, and their positions.

use std::collections::BTreeSet;

use super::super::call::{Call, Handler, Reply, Subject};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};

impl Handler for DeleteGroupsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<DeleteGroupsResponse> {
        let ids: BTreeSet<&String> = self.groups_names.iter().collect();
        let results = call.cluster.with_groups(|groups, _| {
            let delete = |id: &String| {
                let deleted = call.check_coordinator(id).and_then(|()| groups.delete(id));
                result(id, deleted.err().unwrap_or_default())
            };
            ids.into_iter().map(delete).collect()
        });
        Reply::Answer(DeleteGroupsResponse { results, ..Default::default() })
    }

    fn refuse(&self, _: &Call<'_>, code: ErrorCode) -> DeleteGroupsResponse {
        let results = self.groups_names.iter().map(|id| result(id, code)).collect();
        DeleteGroupsResponse { results, ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        Subject { group: self.groups_names.first().map(String::as_str), ..Subject::default() }
    }
}

fn result(id: &str, error_code: ErrorCode) -> DeletableGroupResult {
    DeletableGroupResult { group_id: id.to_owned(), error_code }
}

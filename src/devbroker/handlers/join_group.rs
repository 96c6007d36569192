//! JoinGroup: becomes a member of a classic group; answered when the others have joined too.

use super::super::call::{Call, Handler, Reply, Subject, promise};
use super::super::groups::refused_join;
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{JoinGroupRequest, JoinGroupResponse};

/// Before this version the name of the protocol cannot be null.
const NULLABLE_NAME: i16 = 7;

impl Handler for JoinGroupRequest {
    fn serve(mut self, call: &Call<'_>) -> Reply<JoinGroupResponse> {
        if let Err(code) = call.check_group(&self.group_id) {
            return Reply::Answer(for_version(call.version, refused_join(&self.member_id, code)));
        }
        if call.version == 0 {
            self.rebalance_timeout_ms = self.session_timeout_ms;
        }
        let (answer, promised) = promise(call.doorbell);
        call.cluster.with_groups(|groups, now| groups.join(now, call.cluster, &call.asker(), &self, answer));
        promised.wait().map(|response| for_version(call.version, response))
    }

    fn refuse(&self, call: &Call<'_>, code: ErrorCode) -> JoinGroupResponse {
        for_version(call.version, refused_join(&self.member_id, code))
    }

    fn subject(&self) -> Subject<'_> {
        Subject::group(&self.group_id)
    }
}

fn for_version(version: i16, mut response: JoinGroupResponse) -> JoinGroupResponse {
    if version < NULLABLE_NAME {
        response.protocol_name.get_or_insert_default();
    }
    response
}

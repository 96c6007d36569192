//! LeaveGroup: takes members out of a classic group.

use super::super::call::{Call, Handler, Reply, Subject};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};

/// Up to here one member leaves, and its error is the answer's.
const LAST_SINGLE: i16 = 2;

impl Handler for LeaveGroupRequest {
    fn serve(mut self, call: &Call<'_>) -> Reply<LeaveGroupResponse> {
        if let Err(code) = call.check_group(&self.group_id) {
            return Reply::Answer(self.refuse(call, code));
        }
        let single = call.version <= LAST_SINGLE;
        if single {
            let member_id = std::mem::take(&mut self.member_id);
            self.members = vec![MemberIdentity { member_id, ..Default::default() }];
        }
        let members = call.cluster.with_groups(|groups, now| groups.leave(now, call.cluster, &self.group_id, &self.members));
        Reply::Answer(match single {
            true => self.refuse(call, members.first().map(|member| member.error_code).unwrap_or_default()),
            false => LeaveGroupResponse { members, ..Default::default() },
        })
    }

    fn refuse(&self, _: &Call<'_>, error_code: ErrorCode) -> LeaveGroupResponse {
        LeaveGroupResponse { error_code, ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        Subject::group(&self.group_id)
    }
}

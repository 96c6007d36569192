//! SyncGroup: asks for a member's part of the assignment; answered when the leader has handed it in.

use super::super::call::{Call, Handler, Reply, Subject, promise};
use super::super::groups::refused_sync;
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{SyncGroupRequest, SyncGroupResponse};

/// From here on a member must say what it takes the protocol to be (KIP-559).
const SAYS_PROTOCOL: i16 = 5;

impl Handler for SyncGroupRequest {
    fn serve(self, call: &Call<'_>) -> Reply<SyncGroupResponse> {
        if call.version >= SAYS_PROTOCOL && (self.protocol_type.is_none() || self.protocol_name.is_none()) {
            return Reply::Answer(refused_sync(ErrorCode::INCONSISTENT_GROUP_PROTOCOL));
        }
        if let Err(code) = call.check_group(&self.group_id) {
            return Reply::Answer(refused_sync(code));
        }
        let (answer, promised) = promise(call.doorbell);
        call.cluster.with_groups(|groups, now| groups.sync(now, call.cluster, &self, answer));
        promised.wait()
    }

    fn refuse(&self, _: &Call<'_>, code: ErrorCode) -> SyncGroupResponse {
        refused_sync(code)
    }

    fn subject(&self) -> Subject<'_> {
        Subject::group(&self.group_id)
    }
}

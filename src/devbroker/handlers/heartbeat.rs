//! Heartbeat: a member of a classic group is alive, and is told whether to join again.

use super::super::call::{Call, Handler, Reply, Subject};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{HeartbeatRequest, HeartbeatResponse};

impl Handler for HeartbeatRequest {
    fn serve(self, call: &Call<'_>) -> Reply<HeartbeatResponse> {
        let error_code = match call.check_group(&self.group_id) {
            Ok(()) => call.cluster.with_groups(|groups, now| groups.heartbeat(now, call.cluster, &self)),
            Err(code) => code,
        };
        Reply::Answer(self.refuse(call, error_code))
    }

    fn refuse(&self, _: &Call<'_>, error_code: ErrorCode) -> HeartbeatResponse {
        HeartbeatResponse { error_code, ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        Subject::group(&self.group_id)
    }
}

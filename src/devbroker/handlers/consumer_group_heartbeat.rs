//! ConsumerGroupHeartbeat: all that a member says for whose group the broker assigns.

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::groups::check_consumer_heartbeat;
use super::super::partition::Refused;
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

impl Handler for ConsumerGroupHeartbeatRequest {
    fn serve(self, call: &Call<'_>) -> Reply<ConsumerGroupHeartbeatResponse> {
        let answer = check_consumer_heartbeat(call.version, &self)
            .and_then(|()| call.check_coordinator(&self.group_id).map_err(Refused::from))
            .and_then(|()| {
                call.cluster.with_groups(|groups, now| {
                    groups.consumer_heartbeat(now, call.cluster, &call.asker(), &self)
                })
            });
        Reply::Answer(answer.unwrap_or_else(refused))
    }

    fn refuse(&self, _: &Call<'_>, code: ErrorCode) -> ConsumerGroupHeartbeatResponse {
        refused(code.into())
    }

    fn subject(&self) -> Subject<'_> {
        let topics = self.subscribed_topic_names.iter().flatten().map(String::as_str).collect();
        Subject { topics, ..Subject::group(&self.group_id) }
    }
}

fn refused(refused: Refused) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error_code: refused.code,
        error_message: refused.message,
        ..Default::default()
    }
}

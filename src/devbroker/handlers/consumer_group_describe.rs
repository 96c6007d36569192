//! ConsumerGroupDescribe: members and state of the groups for which the broker assigns.

use super::super::call::{Call, Handler, Reply, Subject};
use super::describe_groups::GROUP_OPERATIONS;
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedConsumerGroup,
};

impl Handler for ConsumerGroupDescribeRequest {
    fn serve(self, call: &Call<'_>) -> Reply<ConsumerGroupDescribeResponse> {
        let groups = call.cluster.with_groups(|groups, _| {
            let describe = |id: &String| {
                if let Err(code) = call.check_group(id) {
                    return failed(id, code);
                }
                match groups.describe_consumers(call.cluster, id) {
                    Ok(mut described) => {
                        if self.include_authorized_operations {
                            described.authorized_operations = GROUP_OPERATIONS;
                        }
                        described
                    }
                    Err(why) => DescribedConsumerGroup {
                        error_message: Some(why),
                        ..failed(id, ErrorCode::GROUP_ID_NOT_FOUND)
                    },
                }
            };
            self.group_ids.iter().map(describe).collect()
        });
        Reply::Answer(ConsumerGroupDescribeResponse { groups, ..Default::default() })
    }

    fn refuse(&self, _: &Call<'_>, code: ErrorCode) -> ConsumerGroupDescribeResponse {
        let groups = self.group_ids.iter().map(|id| failed(id, code)).collect();
        ConsumerGroupDescribeResponse { groups, ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        Subject { group: self.group_ids.first().map(String::as_str), ..Subject::default() }
    }
}

fn failed(id: &str, error_code: ErrorCode) -> DescribedConsumerGroup {
    DescribedConsumerGroup { error_code, group_id: id.to_owned(), ..Default::default() }
}

//! DescribeGroups: members and state of classic groups.

use super::super::call::{Call, Handler, Reply, Subject};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup};

/// From here on a group that is not there is an error; before, it is dead.
const NOT_FOUND: i16 = 6;

/// What one may do where nobody is refused anything: each operation that Kafka knows for the resource, as a bit.
pub(super) const GROUP_OPERATIONS: i32 = 0b1101_0100_1000;

impl Handler for DescribeGroupsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<DescribeGroupsResponse> {
        let groups = call.cluster.with_groups(|groups, _| {
            let describe = |id: &String| {
                if let Err(code) = call.check_coordinator(id) {
                    return failed(id, code);
                }
                let mut described = match groups.describe(id) {
                    Ok(described) => described,
                    Err(why) if call.version >= NOT_FOUND => DescribedGroup {
                        error_message: Some(why),
                        group_state: "Dead".to_owned(),
                        ..failed(id, ErrorCode::GROUP_ID_NOT_FOUND)
                    },
                    Err(_) => DescribedGroup { group_state: "Dead".to_owned(), ..failed(id, ErrorCode::NONE) },
                };
                if self.include_authorized_operations && described.error_code.is_ok() {
                    described.authorized_operations = GROUP_OPERATIONS;
                }
                described
            };
            self.groups.iter().map(describe).collect()
        });
        Reply::Answer(DescribeGroupsResponse { groups, ..Default::default() })
    }

    fn refuse(&self, _: &Call<'_>, code: ErrorCode) -> DescribeGroupsResponse {
        DescribeGroupsResponse {
            groups: self.groups.iter().map(|id| failed(id, code)).collect(),
            ..Default::default()
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject { group: self.groups.first().map(String::as_str), ..Subject::default() }
    }
}

fn failed(id: &str, error_code: ErrorCode) -> DescribedGroup {
    DescribedGroup { error_code, group_id: id.to_owned(), ..Default::default() }
}

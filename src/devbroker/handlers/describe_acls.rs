//! DescribeAcls: there are none, for nobody is refused anything.

use super::super::call::{Call, Handler, Reply};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{DescribeAclsRequest, DescribeAclsResponse};

impl Handler for DescribeAclsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<DescribeAclsResponse> {
        // Kafka does not get as far as to an answer when it is asked for what it does not know.
        const UNKNOWN: i8 = 0;
        let asked = [self.resource_type_filter, self.pattern_type_filter, self.operation, self.permission_type];
        if asked.contains(&UNKNOWN) {
            return Reply::HangUp;
        }
        let error_message = Some("No Authorizer is configured on the broker".to_owned());
        let refused = self.refuse(call, ErrorCode::SECURITY_DISABLED);
        Reply::Answer(DescribeAclsResponse { error_message, ..refused })
    }

    fn refuse(&self, _: &Call<'_>, error_code: ErrorCode) -> DescribeAclsResponse {
        DescribeAclsResponse { error_code, ..Default::default() }
    }
}

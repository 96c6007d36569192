//! CreateAcls: none can be made, for nobody is refused anything.

use super::super::call::{Call, Handler, Reply};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{AclCreationResult, CreateAclsRequest, CreateAclsResponse};

impl Handler for CreateAclsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<CreateAclsResponse> {
        let mut refused = self.refuse(call, ErrorCode::SECURITY_DISABLED);
        for result in &mut refused.results {
            result.error_message = Some("No Authorizer is configured.".to_owned());
        }
        Reply::Answer(refused)
    }

    fn refuse(&self, _: &Call<'_>, error_code: ErrorCode) -> CreateAclsResponse {
        let results = self.creations.iter().map(|_| AclCreationResult { error_code, ..Default::default() });
        CreateAclsResponse { results: results.collect(), ..Default::default() }
    }
}

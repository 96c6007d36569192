//! DeleteAcls: there are none, for nobody is refused anything.

use super::super::call::{Call, Handler, Reply};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse};

impl Handler for DeleteAclsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<DeleteAclsResponse> {
        let mut refused = self.refuse(call, ErrorCode::SECURITY_DISABLED);
        for result in &mut refused.filter_results {
            result.error_message = Some("No Authorizer is configured.".to_owned());
        }
        Reply::Answer(refused)
    }

    fn refuse(&self, _: &Call<'_>, error_code: ErrorCode) -> DeleteAclsResponse {
        let filter_results = self.filters.iter().map(|_| DeleteAclsFilterResult { error_code, ..Default::default() });
        DeleteAclsResponse { filter_results: filter_results.collect(), ..Default::default() }
    }
}

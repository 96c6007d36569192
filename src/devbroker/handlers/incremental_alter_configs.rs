//! IncrementalAlterConfigs: changes single settings of topics and brokers.

use super::super::call::{Call, Handler, Reply};
use super::super::config::alter::{self, Alteration, Change};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

impl Handler for IncrementalAlterConfigsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<IncrementalAlterConfigsResponse> {
        let alterations: Vec<_> = self
            .resources
            .iter()
            .map(|resource| Alteration {
                resource_type: resource.resource_type,
                name: &resource.resource_name,
                whole: false,
                changes: resource
                    .configs
                    .iter()
                    .map(|config| Change {
                        name: &config.name,
                        operation: config.config_operation,
                        value: config.value.as_deref(),
                    })
                    .collect(),
            })
            .collect();
        let responses = alter::alter(call, &alterations, self.validate_only);
        Reply::Answer(IncrementalAlterConfigsResponse { responses, ..Default::default() })
    }

    fn refuse(&self, _: &Call<'_>, error_code: ErrorCode) -> IncrementalAlterConfigsResponse {
        let responses = self.resources.iter().map(|resource| AlterConfigsResourceResponse {
            error_code,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        });
        IncrementalAlterConfigsResponse { responses: responses.collect(), ..Default::default() }
    }
}

//! AlterConfigs: replaces the settings of topics and brokers.

use super::super::call::{Call, Handler, Reply};
use super::super::config::alter::{self, Alteration, Change};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse};

impl Handler for AlterConfigsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<AlterConfigsResponse> {
        let alterations: Vec<_> = self
            .resources
            .iter()
            .map(|resource| Alteration {
                resource_type: resource.resource_type,
                name: &resource.resource_name,
                whole: true,
                changes: resource
                    .configs
                    .iter()
                    .map(|config| Change { name: &config.name, operation: alter::SET, value: config.value.as_deref() })
                    .collect(),
            })
            .collect();
        let responses = alter::alter(call, &alterations, self.validate_only);
        Reply::Answer(AlterConfigsResponse { responses, ..Default::default() })
    }

    fn refuse(&self, _: &Call<'_>, error_code: ErrorCode) -> AlterConfigsResponse {
        let responses = self.resources.iter().map(|resource| AlterConfigsResourceResponse {
            error_code,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        });
        AlterConfigsResponse { responses: responses.collect(), ..Default::default() }
    }
}

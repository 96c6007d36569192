//! ListConfigResources: what has settings.

use super::super::call::{Call, Handler, Reply};
use super::super::config::alter::resource;
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse};

impl Handler for ListConfigResourcesRequest {
    fn serve(self, call: &Call<'_>) -> Reply<ListConfigResourcesResponse> {
        const KNOWN: [i8; 5] = [resource::METRICS, resource::LOGGER, resource::BROKER, resource::TOPIC, resource::GROUP];
        let asked = match (call.version, self.resource_types.as_slice()) {
            (0, _) => &[resource::METRICS],
            (_, []) => &KNOWN[..],
            (_, some) => some,
        };
        if asked.iter().any(|kind| !KNOWN.contains(kind)) {
            return Reply::Answer(self.refuse(call, ErrorCode::UNSUPPORTED_VERSION));
        }
        let mut resources = Vec::new();
        let mut list = |resource_type: i8, names: Vec<String>| {
            if asked.contains(&resource_type) {
                let named = names.into_iter().map(|resource_name| ConfigResource { resource_name, resource_type });
                resources.extend(named);
            }
        };
        let nodes: Vec<_> = call.cluster.nodes().iter().map(|node| node.id.to_string()).collect();
        list(resource::LOGGER, nodes.clone());
        list(resource::BROKER, nodes);
        list(resource::TOPIC, call.cluster.topics().iter().map(|topic| topic.name.clone()).collect());
        Reply::Answer(ListConfigResourcesResponse { config_resources: resources, ..Default::default() })
    }

    fn refuse(&self, _: &Call<'_>, error_code: ErrorCode) -> ListConfigResourcesResponse {
        ListConfigResourcesResponse { error_code, ..Default::default() }
    }
}

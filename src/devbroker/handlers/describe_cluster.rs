//! DescribeCluster: the brokers. Controllers have no address of their own here.

use super::super::call::{Call, Handler, Reply};
use super::metadata::CLUSTER_OPERATIONS;
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

impl Handler for DescribeClusterRequest {
    fn serve(self, call: &Call<'_>) -> Reply<DescribeClusterResponse> {
        let refused = |code: ErrorCode, text: String| {
            Reply::Answer(DescribeClusterResponse { error_message: Some(text), ..self.refuse(call, code) })
        };
        match self.endpoint_type {
            BROKERS => {}
            CONTROLLERS => {
                let text = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type \
                            CONTROLLER";
                return refused(ErrorCode::MISMATCHED_ENDPOINT_TYPE, text.to_owned());
            }
            other => {
                return refused(ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, format!("Unsupported endpoint type {other}"));
            }
        }
        let nodes = call.cluster.registered().into_iter().filter(|node| node.up || self.include_fenced_brokers);
        let brokers = nodes.map(|node| DescribeClusterBroker {
            broker_id: node.id,
            host: node.host,
            port: i32::from(node.port),
            rack: call.cluster.rack(node.id).map(str::to_owned),
            is_fenced: !node.up,
        });
        let operations = self.include_cluster_authorized_operations.then_some(CLUSTER_OPERATIONS);
        let nothing = DescribeClusterResponse::default();
        Reply::Answer(DescribeClusterResponse {
            cluster_id: call.cluster.id.clone(),
            controller_id: call.cluster.controller(),
            brokers: brokers.collect(),
            cluster_authorized_operations: operations.unwrap_or(nothing.cluster_authorized_operations),
            ..nothing
        })
    }

    fn refuse(&self, _: &Call<'_>, error_code: ErrorCode) -> DescribeClusterResponse {
        DescribeClusterResponse { error_code, ..Default::default() }
    }
}

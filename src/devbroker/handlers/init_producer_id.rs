//! InitProducerId: a new identity for an idempotent producer. There are no transactions here.

use super::super::call::{Call, Handler, Reply};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

impl Handler for InitProducerIdRequest {
    fn serve(self, call: &Call<'_>) -> Reply<InitProducerIdResponse> {
        let half = (self.producer_id == -1) != (self.producer_epoch == -1);
        if half || self.transactional_id.as_ref().is_some_and(String::is_empty) {
            return Reply::Answer(self.refuse(call, ErrorCode::INVALID_REQUEST));
        }
        if self.transactional_id.is_some() {
            return Reply::Answer(self.refuse(call, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED));
        }
        Reply::Answer(match call.cluster.new_producer_id() {
            Ok(producer_id) => InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() },
            Err(code) => self.refuse(call, code),
        })
    }

    fn refuse(&self, _: &Call<'_>, error_code: ErrorCode) -> InitProducerIdResponse {
        InitProducerIdResponse { error_code, producer_id: -1, producer_epoch: -1, ..Default::default() }
    }
}

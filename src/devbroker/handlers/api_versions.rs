//! ApiVersions: what is offered.

use super::super::call::{Call, Handler, Reply};
use crate::kafka::protocol::messages::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use crate::kafka::protocol::{ApiKey, ErrorCode};

impl Handler for ApiVersionsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<ApiVersionsResponse> {
        // Kafka asks this of names and versions since KIP-511.
        let sane = |text: &str| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
            let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
            text.bytes().all(inner) && ends(text.as_bytes().first()) && ends(text.as_bytes().last())
        };
        if call.version >= 3 && !(sane(&self.client_software_name) && sane(&self.client_software_version)) {
            return Reply::Answer(self.refuse(call, ErrorCode::INVALID_REQUEST));
        }
        let offered = call.cluster.offered.iter();
        let api_keys = offered.map(|offer| ApiVersion {
            api_key: offer.key.code(),
            min_version: offer.told.min,
            max_version: offer.told.max,
        });
        Reply::Answer(ApiVersionsResponse { api_keys: api_keys.collect(), ..Default::default() })
    }

    fn refuse(&self, _: &Call<'_>, error_code: ErrorCode) -> ApiVersionsResponse {
        ApiVersionsResponse { error_code, ..Default::default() }
    }
}

/// The answer, in version 0, to a version that is not offered.
pub(super) fn unsupported(call: &Call<'_>) -> ApiVersionsResponse {
    let offer = call.cluster.offered.iter().find(|offer| offer.key == ApiKey::ApiVersions);
    let api_keys = offer.map(|offer| ApiVersion {
        api_key: offer.key.code(),
        min_version: offer.told.min,
        max_version: offer.told.max,
    });
    ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION,
        api_keys: api_keys.into_iter().collect(),
        ..Default::default()
    }
}

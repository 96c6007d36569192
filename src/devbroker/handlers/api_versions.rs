//! ApiVersions: what is offered.

use super::super::call::{Call, Handler, Reply};
use crate::kafka::protocol::messages::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use crate::kafka::protocol::{ApiKey, ErrorCode};

/// From this version on the answer has features.
const TELLS_FEATURES: i16 = 3;
/// From this version on their lowest version may be 0.
const TELLS_LEAST_ZERO: i16 = 4;

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
        let mut answer = ApiVersionsResponse { api_keys: api_keys.collect(), ..Default::default() };
        if call.version >= TELLS_FEATURES && call.cluster.offered.consumer_groups {
            let (name, level) = ("group.version".to_owned(), 1);
            // A feature that can be off may be told only from here on (KAFKA-17011).
            if call.version >= TELLS_LEAST_ZERO {
                answer.supported_features =
                    vec![SupportedFeatureKey { name: name.clone(), min_version: 0, max_version: level }];
            }
            answer.finalized_features_epoch = 0;
            answer.finalized_features =
                vec![FinalizedFeatureKey { name, max_version_level: level, min_version_level: level }];
        }
        Reply::Answer(answer)
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

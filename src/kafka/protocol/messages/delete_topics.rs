//! DeleteTopics: removes topics.
//!
//! Versions 0-6, all there are; Kafka 4 serves 1 and above. The client asks for 4 and above, which Kafka 2.4 serves.
//!
//! - 1: throttle time
//! - 2: the broker answers before it throttles
//! - 3: TOPIC_DELETION_DISABLED may be the answer (KIP-322)
//! - 4: flexible
//! - 5: an error message; THROTTLING_QUOTA_EXCEEDED may be the answer (KIP-599)
//! - 6: topics by name or by id, in `topics` instead of `topic_names` (KIP-516)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api DeleteTopics {
        DeleteTopicsRequest => DeleteTopicsResponse,
        versions 0-6, client 4-6, flexible 4+
    }

    /// Asks for topics to be removed.
    struct DeleteTopicsRequest {
        /// From version 6 on.
        topics: Vec<DeleteTopicState> [6+],
        /// Up to version 5.
        topic_names: Vec<String> [0-5, ignorable],
        /// How long the broker waits for the topics to be gone.
        timeout_ms: i32 [0+],
    }

    /// A topic to remove.
    struct DeleteTopicState {
        /// Null if it is told by its id.
        name: Option<String> [6+, nullable 6+] = None,
        /// Zero if it is told by its name.
        topic_id: Uuid [6+],
    }

    /// What became of each topic.
    struct DeleteTopicsResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [1+, ignorable],
        responses: Vec<DeletableTopicResult> [0+],
    }

    /// What became of one topic.
    struct DeletableTopicResult {
        /// Null for an unknown topic that was told by its id.
        name: Option<String> [0+, nullable 6+],
        topic_id: Uuid [6+, ignorable],
        error_code: ErrorCode [0+],
        error_message: Option<String> [5+, nullable 5+, ignorable] = None,
    }
}

//! DescribeLogDirs: a broker's directories, and how much of which partition they hold (KIP-113).
//!
//! Versions 0-5, all there are; Kafka 4 serves 1 and above, so the client asks for those. Kafka 2.4 serves 1.
//!
//! - 1: the broker answers before it throttles
//! - 2: flexible
//! - 3: an error code for the whole answer
//! - 4: size of the volume and what is left of it (KIP-827)
//! - 5: whether a directory is cordoned (KIP-1066)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api DescribeLogDirs {
        DescribeLogDirsRequest => DescribeLogDirsResponse,
        versions 0-5, client 1-5, flexible 2+
    }

    /// Asks for directories.
    struct DescribeLogDirsRequest {
        /// Null is all topics.
        topics: Option<Vec<DescribableLogDirTopic>> [0+, nullable 0+],
    }

    /// Partitions of one topic.
    struct DescribableLogDirTopic {
        topic: String [0+],
        partitions: Vec<i32> [0+],
    }

    /// Directories.
    struct DescribeLogDirsResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [3+, ignorable],
        results: Vec<DescribeLogDirsResult> [0+],
    }

    /// A directory.
    struct DescribeLogDirsResult {
        error_code: ErrorCode [0+],
        log_dir: String [0+],
        topics: Vec<DescribeLogDirsTopic> [0+],
        /// In bytes, of the volume; -1 is unknown.
        total_bytes: i64 [4+, ignorable] = -1,
        /// In bytes, of the volume; -1 is unknown.
        usable_bytes: i64 [4+, ignorable] = -1,
        /// Whether it gets no new partitions.
        is_cordoned: bool [5+, ignorable],
    }

    /// Partitions of one topic.
    struct DescribeLogDirsTopic {
        name: String [0+],
        partitions: Vec<DescribeLogDirsPartition> [0+],
    }

    /// A partition.
    struct DescribeLogDirsPartition {
        partition_index: i32 [0+],
        /// In bytes.
        partition_size: i64 [0+],
        /// How far its end lies behind the high watermark; of a log that is moving here, behind the one that it replaces.
        offset_lag: i64 [0+],
        /// Whether it is moving here from another directory.
        is_future_key: bool [0+],
    }
}

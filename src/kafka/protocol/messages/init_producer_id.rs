//! InitProducerId: a producer id and epoch, for idempotence and for transactions.
//!
//! Versions 0-6, all there are. The client asks for 0 to 5: 6 is unstable as of Kafka 4.3 and not advertised.
//!
//! - 1: the broker answers before it throttles
//! - 2: flexible
//! - 3: the current id and epoch, so that a producer can take a new epoch (KIP-360)
//! - 4: PRODUCER_FENCED may be the answer (KIP-588)
//! - 5: TRANSACTION_ABORTABLE may be the answer (KIP-890)
//! - 6: two-phase commit (KIP-939)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api InitProducerId {
        InitProducerIdRequest => InitProducerIdResponse,
        versions 0-6, client 0-5, flexible 2+
    }

    /// Asks for a producer id, or for a new epoch of one.
    struct InitProducerIdRequest {
        /// Null for a producer that is only idempotent.
        transactional_id: Option<String> [0+, nullable 0+] = None,
        transaction_timeout_ms: i32 [0+],
        /// -1 asks for a new one.
        producer_id: i64 [3+] = -1,
        /// -1 with a new id.
        producer_epoch: i16 [3+] = -1,
        /// Two-phase commit: the transaction has no timeout.
        enable_2pc: bool [6+],
        /// Leave a prepared transaction as it is.
        keep_prepared_txn: bool [6+],
    }

    /// A producer id and its epoch.
    struct InitProducerIdResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+, ignorable],
        error_code: ErrorCode [0+],
        producer_id: i64 [0+] = -1,
        producer_epoch: i16 [0+],
        /// -1 if no transaction is open.
        ongoing_txn_producer_id: i64 [6+] = -1,
        /// -1 if no transaction is open.
        ongoing_txn_producer_epoch: i16 [6+] = -1,
    }
}

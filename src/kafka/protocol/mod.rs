//! Kafka's wire protocol. Knows no socket.

/// Placeholder until the table of APIs lands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiKey {
    /// Produce
    Produce = 0,
}

/// Placeholder until the table of error codes lands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub i16);

impl ErrorCode {
    /// x
    pub fn description(self) -> &'static str {
        ""
    }
    /// x
    pub fn is_refusal(self) -> bool {
        self.0 == 29
    }
    /// x
    pub fn is_retriable(self) -> bool {
        false
    }
}
impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UNKNOWN_TOPIC_OR_PARTITION")
    }
}

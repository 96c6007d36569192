//! Kafka's wire protocol: messages, their encodings and frames. Knows no socket, no policy and no record format.
//!
//! | file | holds |
//! | --- | --- |
//! | `schema.rs` | the macro that turns a table into a message, and the types that a field can have |
//! | `messages/` | the tables, one file per API |
//! | `encode.rs`, `decode.rs` | values to bytes and back |
//! | `bytes.rs`, `uuid.rs` | shared byte ranges; ids |
//! | `frame.rs` | size, headers and correlation ids around a message |
//! | `api.rs` | the APIs, their versions, and which version to speak with a broker |
//! | `error_code.rs` | Kafka's error codes |
//! | `fuzz.rs` | entry points for fuzzing |

mod api;
mod bytes;
mod decode;
mod encode;
mod error_code;
pub mod frame;
#[doc(hidden)]
pub mod fuzz;
pub mod messages;
mod schema;
mod spares;
#[cfg(test)]
mod tests;
mod uuid;

pub use api::{ApiKey, ApiVersions, VersionRange};
pub use bytes::Bytes;
pub use decode::{Decoder, Malformed};
pub use encode::Encoder;
pub use error_code::ErrorCode;
pub use frame::Frame;
pub use schema::{Request, Response};
pub(crate) use spares::Spares;
pub use uuid::Uuid;

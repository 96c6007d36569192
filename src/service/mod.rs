//! The services: the sender and the receiver, and the demo of both on a broker of its own, as loops that a program calls with typed options.
//!
//! What was typed and what the environment says is the command line's business (`crate::cli`); nothing here reads an
//! argument or a variable. A loop ends by its count, by its [`Stop`], or with an error, and hands back its totals.

mod account;
#[cfg(feature = "devbroker")]
pub mod broker;
#[cfg(feature = "devbroker")]
pub mod demo;
pub(crate) mod escapes;
pub mod ledger;
pub mod lines;
pub mod message;
mod output;
pub mod receiver;
mod repeats;
mod schedule;
pub mod sender;
mod stop;
mod together;
pub(crate) mod topic;
pub mod verifiable;

pub use stop::Stop;

/// The topic both services use unless told otherwise.
pub const DEFAULT_TOPIC: &str = "rust-messages";

/// Partitions of the topic when a service creates it.
pub const DEFAULT_PARTITIONS: i32 = 3;

/// Replication factor of the topic when a service creates it.
pub const DEFAULT_REPLICATION_FACTOR: i16 = 1;

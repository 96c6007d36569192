//! The client: everything a program needs to speak to Apache Kafka.
//!
//! | layer, from the bottom | does | refuses to know |
//! | --- | --- | --- |
//! | [`protocol`], [`record`] | values to bytes and back | sockets, clocks, policy |
//! | `config` | strings to typed settings, checked against each other | the environment and the command line |
//! | `net` | one connection: dialling, the version handshake, what is in flight | leaders, partitions, groups |
//! | `cluster` | which brokers there are, who leads what | records |
//! | [`producer`], [`consumer`], [`admin`] | what a program calls | each other |
//!
//! A layer imports from those above it in this table only. [`error`] has the one error type that all of them return. What
//! programs need is at the root of the crate; `protocol` is public for tools and tests that speak it themselves.

pub mod admin;
pub(crate) mod cluster;
pub(crate) mod config;
pub mod consumer;
pub mod error;
pub(crate) mod net;
pub mod producer;
pub mod protocol;
pub mod record;
pub(crate) mod threads;

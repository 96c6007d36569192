//! The client: everything a program needs to speak to Apache Kafka.
//!
//! Layers, each importing only those before it: [`protocol`], [`record`] (bytes; know no socket) → `net` (one connection) →
//! `cluster` (who leads what) → `producer`, `consumer`, `admin`.

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

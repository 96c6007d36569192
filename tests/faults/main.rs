//! What a broker can do wrong, on the development broker over real TCP: nothing acknowledged is lost, nothing is written
//! twice with idempotence, order is kept, every call ends by its deadline, and all is well again by itself.
//!
//! | file | faults of |
//! | --- | --- |
//! | `produce.rs` | writing: each request cut or spoilt in every place, every code that Kafka answers |
//! | `connect.rs` | what comes before it: versions, metadata, producer ids |
//! | `fetch.rs` | reading: records, the ends of logs |
//! | `leaders.rs` | leaders that move while metadata is silent |
//! | `lookup.rs` | looking offsets up |
//! | `groups.rs` | reading as a member of a group |
//! | `churn.rs` | members that come and go |
//! | `replicas.rs` | reading from a replica, with and without it |
//! | `admin.rs` | every call of `Admin`: one failing request, silent brokers, no coordinator |
//! | `cluster.rs` | leaders that move, brokers that stop, hang or forget |
//! | `services.rs` | sender and receiver, as a program |
//! | `ledger.rs` | the one checker: what was sent, what became of it, and what the log holds |
//! | `reader.rs` | the checker of what is read |
//! | `stall.rs` | brokers that keep to themselves what they should tell |
//! | `support.rs` | brokers, settings, tables of faults |
#![cfg(feature = "devbroker")]

mod admin;
mod churn;
mod cluster;
mod connect;
mod fetch;
mod groups;
mod leaders;
mod ledger;
mod lookup;
mod produce;
mod reader;
mod replicas;
#[cfg(feature = "services")]
mod services;
mod stall;
mod support;

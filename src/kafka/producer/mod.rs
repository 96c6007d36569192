//! Sending records.

mod partitioner;

//! One connection to one broker: dialling, framing, the version handshake, and what is in flight.
//!
//! This layer knows bytes, deadlines and who waits for which answer. It knows nothing of leaders, partitions or groups.

mod connection;
mod frames;
mod transport;

pub(crate) use connection::{Connection, Reader, Writer};
pub(crate) use transport::Closer;
#[cfg(feature = "devbroker")]
pub(crate) use {
    frames::{FrameReader, NoFrame},
    transport::{Listener, Reserved, Stream},
};

//! One connection, driven frame by frame: what a client library would hide (a closed connection, silence) is an outcome
//! here.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use krs::kafka::protocol::Bytes;

/// How long an answer may take. Only what never comes takes so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came back.
pub enum Reply {
    /// A frame without its size.
    Frame(Bytes),
    Closed,
    Silence,
}

pub struct Connection {
    stream: TcpStream,
}

impl Connection {
    pub fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        stream.set_nodelay(true).expect("an option of every socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option of every socket");
        Self { stream }
    }

    /// A broker may have closed the connection by now; reading tells.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn receive(&mut self) -> Reply {
        let mut prefix = [0; 4];
        if let Err(error) = self.stream.read_exact(&mut prefix) {
            return Self::failed(error.kind());
        }
        let size = usize::try_from(i32::from_be_bytes(prefix)).expect("no size of an answer is negative");
        let mut frame = Vec::new();
        match Read::by_ref(&mut self.stream).take(size as u64).read_to_end(&mut frame) {
            Ok(read) if read == size => Reply::Frame(Bytes::from(frame)),
            Ok(_) => Reply::Closed,
            Err(error) => Self::failed(error.kind()),
        }
    }

    fn failed(kind: ErrorKind) -> Reply {
        match kind {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Reply::Silence,
            _ => Reply::Closed,
        }
    }
}

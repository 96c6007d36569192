//! A loopback port that belongs to one test, whether somebody listens there or not.
#![allow(dead_code, reason = "not each test program listens")]

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

use socket2::{Domain, Socket, Type};

/// A port that the system gives to nobody else while this lives. Who connects to it is refused, unless there is a
/// listener: a port that a test had merely let go of could come to the broker of another test, and records with it.
pub struct Port {
    /// Bound, and never listening.
    socket: Socket,
}

impl Port {
    /// Takes a free port.
    pub fn free() -> Self {
        Self { socket: bound(0) }
    }

    pub fn number(&self) -> u16 {
        let address = self.socket.local_addr().expect("a bound socket has an address");
        address.as_socket().expect("it is one of the internet").port()
    }

    /// As a client writes it.
    pub fn address(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.number())
    }

    /// Listens, until the listener is dropped; then again.
    pub fn listen(&self) -> TcpListener {
        let socket = bound(self.number());
        socket.listen(128).expect("the port is this test's");
        socket.into()
    }
}

/// Several sockets share the port: at most one of them listens.
fn bound(port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are sockets");
    socket.set_reuse_address(true).expect("every system has it");
    #[cfg(unix)]
    socket.set_reuse_port(true).expect("every Unix has it");
    socket.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into()).expect("a loopback port is to be had");
    socket
}

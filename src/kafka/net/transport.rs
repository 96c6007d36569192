//! Sockets: resolving, dialling, closing from another thread. The only file that names a socket.

use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
#[cfg(feature = "devbroker")]
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::clock::Deadline;
use crate::kafka::config::{Address, ClientSettings};
use crate::kafka::error::{Error, ErrorKind, Result};
use crate::sync::lock;

/// How often a wait for the resolver looks whether it is still wanted.
const RESOLVER_GLANCE: Duration = Duration::from_millis(20);

/// Ends what a thread does on its socket, from another thread: also while it is still connecting.
///
/// A thread that talks keeps one closer for all its connections, one after the other.
#[derive(Clone, Default)]
pub(crate) struct Closer(Arc<Mutex<Closable>>);

#[derive(Default)]
struct Closable {
    closed: bool,
    socket: Option<Socket>,
}

impl Closer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Ends the present connection and refuses every later one.
    pub(crate) fn close(&self) {
        lock(&self.0).closed = true;
        self.interrupt();
    }

    /// Ends the present connection only.
    pub(crate) fn interrupt(&self) {
        if let Some(socket) = lock(&self.0).socket.take() {
            // An error means that the socket is not connected any more, which is what was asked for.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.0).closed
    }

    /// What a call ends with that this closer cut short.
    pub(crate) fn error() -> Error {
        Error::state("the client is closed")
    }

    fn adopt(&self, socket: &Socket) -> Result<()> {
        let twin = socket.try_clone().map_err(|e| Error::new(ErrorKind::Io, format!("cannot copy a socket: {e}")))?;
        let mut closable = lock(&self.0);
        if closable.closed {
            return Err(Self::error());
        }
        closable.socket = Some(twin);
        Ok(())
    }
}

/// A connected stream whose reads and writes end by a deadline. The two halves may live on two threads.
pub(crate) struct Stream {
    socket: TcpStream,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl Stream {
    /// Connects to the first address of `address` that answers, trying all of them.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] with every address tried and what happened there; [`ErrorKind::Timeout`] when the
    /// deadline passed first; [`ErrorKind::State`] when `closer` was closed.
    pub(crate) fn dial(
        address: &Address,
        settings: &ClientSettings,
        closer: &Closer,
        deadline: Deadline,
    ) -> Result<Self> {
        let attempt = Deadline::after("socket.connection.setup.timeout.ms", settings.connect_timeout).min(deadline);
        let candidates = resolve(address, closer, attempt)?;
        let mut failures = Vec::new();
        let mut others = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
        for candidate in candidates {
            // An address that does not answer leaves time for those after it.
            let left = attempt.left(Instant::now()) / others.max(1);
            others = others.saturating_sub(1);
            if left.is_zero() {
                failures.push((candidate, io::Error::from(io::ErrorKind::TimedOut)));
                break;
            }
            match connect(candidate, settings, closer, left) {
                Ok(socket) => return Ok(Self { socket, read_timeout: None, write_timeout: None }),
                Err(_) if closer.is_closed() => return Err(Closer::error()),
                Err(ConnectError::Client(error)) => return Err(error),
                Err(ConnectError::Io(error)) => failures.push((candidate, error)),
            }
        }
        Err(unreachable(address, &failures, &attempt))
    }

    /// A second handle on the same socket, for the other half.
    pub(crate) fn twin(&self) -> Result<Self> {
        let socket =
            self.socket.try_clone().map_err(|e| Error::new(ErrorKind::Io, format!("cannot copy a socket: {e}")))?;
        Ok(Self { socket, read_timeout: self.read_timeout, write_timeout: self.write_timeout })
    }

    /// Reads what is there, at least one byte unless the peer has closed; waits until the deadline, or for ever.
    pub(crate) fn read(&mut self, buf: &mut [u8], deadline: Option<Deadline>) -> io::Result<usize> {
        loop {
            let left = time_left(deadline)?;
            if !is_near(self.read_timeout, left) {
                // Less than what is left holds for the reads that follow, too.
                let timeout = left.map(|left| (left - left / 8).max(Duration::from_millis(1)));
                self.socket.set_read_timeout(timeout)?;
                self.read_timeout = timeout;
            }
            match self.socket.read(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Whether it is really late is for the deadline to say.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && deadline.is_some() => {}
                other => return other.map_err(name_timeout),
            }
        }
    }

    /// A writer that gives up at the deadline, however slowly the peer takes the bytes.
    pub(crate) fn until(&mut self, deadline: Deadline) -> impl Write + '_ {
        TimedWrite { stream: self, deadline }
    }
}

/// A socket that takes connections, for a broker.
#[cfg(feature = "devbroker")]
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// An address that is kept: nobody else gets it, and whoever connects to it is refused.
#[cfg(feature = "devbroker")]
pub(crate) struct Reserved {
    socket: Socket,
}

#[cfg(feature = "devbroker")]
impl Reserved {
    pub(crate) fn at(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // As the standard library does it, so that connections which have just ended are not in the way.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        Ok(Self { socket })
    }

    pub(crate) fn listen(self) -> io::Result<Listener> {
        self.socket.listen(128)?;
        let socket = TcpListener::from(self.socket);
        let address = socket.local_addr()?;
        Ok(Listener { socket, address })
    }
}

#[cfg(feature = "devbroker")]
impl Listener {
    /// Listens at the first address of `host` that can be; port 0 is any free one.
    pub(crate) fn bind(host: &str, port: u16) -> io::Result<Self> {
        let socket = TcpListener::bind((host, port))?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next connection: its stream, what ends it from another thread, and where it comes from.
    pub(crate) fn accept(&self) -> io::Result<(Stream, Closer, SocketAddr)> {
        let (socket, peer) = self.socket.accept()?;
        let socket = Socket::from(socket);
        socket.set_tcp_nodelay(true)?;
        let closer = Closer::new();
        closer.adopt(&socket).map_err(io::Error::other)?;
        Ok((Stream { socket: socket.into(), read_timeout: None, write_timeout: None }, closer, peer))
    }

    /// Lets a waiting [`accept`](Self::accept) return, with one more connection.
    pub(crate) fn wake(&self) {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        // Whoever cannot connect here cannot be waiting there either.
        let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
    }
}

struct TimedWrite<'a> {
    stream: &'a mut Stream,
    deadline: Deadline,
}

impl TimedWrite<'_> {
    /// Brings the socket's send timeout near what is left: the system call costs more than a little imprecision.
    fn arm(&mut self) -> io::Result<()> {
        let left = time_left(Some(self.deadline))?;
        if !is_near(self.stream.write_timeout, left) {
            self.stream.socket.set_write_timeout(left)?;
            self.stream.write_timeout = left;
        }
        Ok(())
    }
}

impl Write for TimedWrite<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.arm()?;
        self.stream.socket.write(buf).map_err(name_timeout)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.arm()?;
        self.stream.socket.write_vectored(bufs).map_err(name_timeout)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether the timeout that is set will do for what is left: it is not longer, and at least half of it.
fn is_near(set: Option<Duration>, left: Option<Duration>) -> bool {
    match (set, left) {
        (Some(set), Some(left)) => set <= left && left - set <= set,
        (set, left) => set == left,
    }
}

/// What is left of a deadline as a socket timeout, which must not be zero.
fn time_left(deadline: Option<Deadline>) -> io::Result<Option<Duration>> {
    let Some(deadline) = deadline else { return Ok(None) };
    match deadline.left(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(Some(left.max(Duration::from_millis(1)))),
    }
}

/// A blocking socket's timeout shows as `WouldBlock` on Unix.
fn name_timeout(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

/// All addresses of a name. The system's resolver cannot be interrupted, so it works on a thread that may be left
/// behind; a literal address needs none.
fn resolve(address: &Address, closer: &Closer, deadline: Deadline) -> Result<Vec<SocketAddr>> {
    if let Ok(ip) = address.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, address.port)]);
    }
    let (answer, answered) = mpsc::channel();
    let name = (address.host.clone(), address.port);
    std::thread::Builder::new()
        .name("krs-resolve".into())
        .spawn(move || {
            // Nobody listens any more when the deadline has passed; then the answer is not wanted.
            let _ = answer.send(name.to_socket_addrs().map(Vec::from_iter));
        })
        .map_err(|e| Error::new(ErrorKind::Io, format!("cannot start a thread to resolve {address}: {e}")))?;
    loop {
        if closer.is_closed() {
            return Err(Closer::error());
        }
        let left = deadline.left(Instant::now());
        if left.is_zero() {
            return Err(Error::timeout(&deadline, format_args!("resolving the name of {address}")));
        }
        match answered.recv_timeout(left.min(RESOLVER_GLANCE)) {
            Ok(Ok(addresses)) if !addresses.is_empty() => return Ok(addresses),
            Ok(Ok(_)) => return Err(unresolved(address, "no address for this name")),
            Ok(Err(error)) => return Err(unresolved(address, &error.to_string())),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(unresolved(address, "the resolver gave up")),
        }
    }
}

fn unresolved(address: &Address, why: &str) -> Error {
    // The system's wording, without the wrapping of its library.
    let why = why.trim_start_matches("failed to lookup address information: ");
    Error::new(
        ErrorKind::Unreachable,
        format!(
            "cannot resolve host name of {address}: {why}; check the spelling, or the broker's advertised.listeners"
        ),
    )
    .with_broker(address.to_string())
}

enum ConnectError {
    Io(io::Error),
    Client(Error),
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn connect(
    to: SocketAddr,
    settings: &ClientSettings,
    closer: &Closer,
    timeout: Duration,
) -> Result<TcpStream, ConnectError> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(size) = settings.receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    if let Some(size) = settings.send_buffer {
        socket.set_send_buffer_size(size)?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10)),
    )?;
    // Bytes that a peer does not acknowledge for this long end the connection: a moved address is noticed in time.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(settings.request_timeout))?;
    closer.adopt(&socket).map_err(ConnectError::Client)?;
    socket.connect_timeout(&to.into(), timeout)?;
    Ok(socket.into())
}

fn unreachable(address: &Address, failures: &[(SocketAddr, io::Error)], attempt: &Deadline) -> Error {
    let all = |kind| failures.iter().all(|(_, error)| error.kind() == kind);
    let tried = failures.iter().map(|(at, _)| at.ip().to_string()).collect::<Vec<_>>().join(", ");
    let whom =
        if tried.is_empty() || tried == address.host { address.to_string() } else { format!("{address} ({tried})") };
    let text = if all(io::ErrorKind::ConnectionRefused) {
        format!("connection refused at {whom}: is Kafka running? `just up` starts one")
    } else if all(io::ErrorKind::TimedOut) {
        format!("no answer from {whom} within {attempt}: is the address right, does a firewall drop it?")
    } else {
        let each = failures.iter().map(|(at, error)| format!("{at}: {error}")).collect::<Vec<_>>().join("; ");
        format!("cannot connect to {address}: {each}")
    };
    Error::new(ErrorKind::Unreachable, text).with_broker(address.to_string())
}

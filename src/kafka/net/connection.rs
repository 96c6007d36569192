//! A connection that has shaken hands: requests go out in order, answers come back in order.
//!
//! Two ways to use one: [`Connection`] belongs to one thread, which calls and waits, or keeps a few requests on their way;
//! [`Connection::split`] makes a [`Writer`] and a [`Reader`] for two threads. Either way a connection has one end: the
//! first cause, which everything still in flight on it is answered with.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use super::frames::{FrameReader, NoFrame};
use super::transport::{Closer, Stream};
use crate::clock::Deadline;
use crate::kafka::config::{Address, ClientSettings};
use crate::kafka::error::{Error, ErrorKind, Result};
use crate::kafka::protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use crate::kafka::protocol::{ApiKey, ApiVersions, Bytes, Frame, Request, frame};
use crate::sync::lock;

/// What the broker is told about this client's software (KIP-511).
const SOFTWARE: &str = env!("CARGO_PKG_NAME");

/// A connection used by one thread.
pub(crate) struct Connection {
    out: Outgoing,
    frames: FrameReader,
    in_flight: VecDeque<Expected>,
    ended: Option<Error>,
}

/// The writing half's own state.
struct Outgoing {
    stream: Stream,
    broker: Arc<str>,
    client_id: String,
    versions: Arc<ApiVersions>,
    next_correlation: i32,
}

#[derive(Clone, Copy)]
struct Expected {
    api: ApiKey,
    version: i16,
    correlation: i32,
}

impl Connection {
    /// Resolves, dials and agrees on versions.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] when nothing there speaks Kafka, with what was tried and what happened.
    pub(crate) fn open(
        address: &Address,
        settings: &ClientSettings,
        closer: &Closer,
        deadline: Deadline,
    ) -> Result<Self> {
        let stream = Stream::dial(address, settings, closer, deadline)?;
        let frames = FrameReader::new(stream.twin()?, settings.receive_max_bytes);
        let out = Outgoing {
            stream,
            broker: address.to_string().into(),
            client_id: settings.client_id.clone(),
            versions: Arc::new(ApiVersions::default()),
            next_correlation: 0,
        };
        let mut connection = Self { out, frames, in_flight: VecDeque::new(), ended: None };
        match connection.shake_hands(deadline) {
            Ok(()) => Ok(connection),
            Err(_) if closer.is_closed() => Err(Closer::error()),
            Err(error) => Err(error.with_broker(address.to_string())),
        }
    }

    /// `host:port`, as it was dialled.
    pub(crate) fn broker(&self) -> &str {
        &self.out.broker
    }

    /// What the broker answers.
    pub(crate) fn versions(&self) -> &ApiVersions {
        &self.out.versions
    }

    /// Whether it has met its end, so that a new one is needed.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// Whatever ended the connection, or a version that the broker does not speak.
    pub(crate) fn call<R: Request>(&mut self, request: &R, deadline: Deadline) -> Result<R::Response> {
        self.send(request, deadline)?;
        self.receive::<R>(deadline)
    }

    /// Sends a request; its answer is [`received`](Self::receive) later, in the order of sending.
    pub(crate) fn send<R: Request>(&mut self, request: &R, deadline: Deadline) -> Result<()> {
        let version = self.out.versions.negotiate::<R>().map_err(|e| e.with_broker(&*self.out.broker))?;
        self.send_version(request, version, deadline)
    }

    /// Sends a request in this version, which must be one that the broker answers.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub(crate) fn send_version<R: Request>(&mut self, request: &R, version: i16, deadline: Deadline) -> Result<()> {
        if let Some(cause) = &self.ended {
            return Err(cause.clone());
        }
        let (expected, frame) = self.out.encode(request, version)?;
        self.in_flight.push_back(expected);
        self.out.write(&frame, expected.api, deadline).map_err(|cause| self.end(cause))
    }

    /// The answer to the oldest request in flight, which must have been an `R`.
    pub(crate) fn receive<R: Request>(&mut self, deadline: Deadline) -> Result<R::Response> {
        let (expected, frame) = self.receive_frame(deadline)?;
        debug_assert_eq!(expected.api, R::KEY, "answers are taken in the order of the requests");
        frame::decode_response::<R>(&frame, expected.version).map_err(|e| self.end(e.with_api(R::KEY)))
    }

    fn receive_frame(&mut self, deadline: Deadline) -> Result<(Expected, Bytes)> {
        if let Some(cause) = &self.ended {
            return Err(cause.clone());
        }
        let Some(expected) = self.in_flight.pop_front() else {
            return Err(Error::state("no request is in flight on this connection"));
        };
        let answer = match self.frames.read(Some(deadline)) {
            Ok(frame) => check_correlation(&frame, expected.correlation).map(|()| frame),
            Err(NoFrame::Io(error)) if error.kind() == io::ErrorKind::TimedOut => {
                Err(Error::timeout(&deadline, format_args!("waiting for the answer to {:?}", expected.api)))
            }
            Err(no_frame) => Err(no_frame.into()),
        };
        answer.map(|frame| (expected, frame)).map_err(|cause| self.end(cause.with_api(expected.api)))
    }

    fn end(&mut self, cause: Error) -> Error {
        let cause = cause.with_broker(&*self.out.broker);
        self.in_flight.clear();
        self.ended.get_or_insert(cause).clone()
    }

    /// ApiVersions, the first request on every connection. A broker that does not know our version of it answers in
    /// version 0 with what it does know (KIP-511); it is asked once more in that.
    fn shake_hands(&mut self, deadline: Deadline) -> Result<()> {
        let request = ApiVersionsRequest {
            client_software_name: SOFTWARE.into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
        };
        let mut version = ApiVersionsRequest::CLIENT_VERSIONS.max;
        for _ in 0..2 {
            let response = self.ask_versions(&request, version, deadline)?;
            match ApiVersions::version_to_retry(&response, version) {
                Some(lower) => version = lower,
                None => {
                    self.out.versions = Arc::new(ApiVersions::from_response(&response)?);
                    return Ok(());
                }
            }
        }
        let why = "the broker refuses the version of ApiVersions that it offers itself";
        Err(Error::new(ErrorKind::Unreachable, why))
    }

    fn ask_versions(
        &mut self,
        request: &ApiVersionsRequest,
        version: i16,
        deadline: Deadline,
    ) -> Result<ApiVersionsResponse> {
        let broker = Arc::clone(&self.out.broker);
        self.send_version(request, version, deadline)?;
        let (_, frame) = self.receive_frame(deadline).map_err(|error| match error.kind() {
            ErrorKind::Disconnected => Error::new(
                ErrorKind::Unreachable,
                format!("{broker} closed the connection during ApiVersions: is it a TLS or SASL listener, or not Kafka?"),
            ),
            ErrorKind::Timeout => Error::new(
                ErrorKind::Unreachable,
                format!("{broker} accepted the connection but did not answer ApiVersions within {deadline}: is it a TLS listener, or not Kafka?"),
            ),
            ErrorKind::Protocol => error.with_kind(ErrorKind::Unreachable),
            _ => error,
        })?;
        frame::decode_response::<ApiVersionsRequest>(&frame, version)
            .map_err(|error| self.end(error.with_api(ApiKey::ApiVersions)).with_kind(ErrorKind::Unreachable))
    }

    /// Two halves for two threads. Each request carries a `T`, which comes back with its answer, or with the end.
    ///
    /// Nothing may be in flight yet.
    pub(crate) fn split<T>(self, closer: Closer) -> (Writer<T>, Reader<T>) {
        debug_assert!(self.in_flight.is_empty(), "a connection is split before its first request");
        let pipeline = Arc::new(Pipeline {
            broker: Arc::clone(&self.out.broker),
            closer,
            state: Mutex::new(State { in_flight: VecDeque::new(), ended: None }),
        });
        (Writer { out: self.out, pipeline: Arc::clone(&pipeline) }, Reader { frames: self.frames, pipeline })
    }
}

impl Outgoing {
    fn encode<R: Request>(&mut self, request: &R, version: i16) -> Result<(Expected, Frame)> {
        let correlation = self.next_correlation;
        self.next_correlation = self.next_correlation.wrapping_add(1) & i32::MAX;
        let frame = frame::encode_request(request, version, correlation, &self.client_id)
            .map_err(|e| e.with_api(R::KEY).with_broker(&*self.broker))?;
        Ok((Expected { api: R::KEY, version, correlation }, frame))
    }

    fn write(&mut self, frame: &Frame, api: ApiKey, deadline: Deadline) -> Result<()> {
        frame.write_to(&mut self.stream.until(deadline)).map_err(|error| {
            if error.kind() == io::ErrorKind::TimedOut {
                Error::timeout(&deadline, format_args!("sending {api:?}")).with_api(api)
            } else {
                lost(&error).with_api(api)
            }
        })
    }
}

impl From<NoFrame> for Error {
    fn from(no_frame: NoFrame) -> Self {
        match no_frame {
            NoFrame::Closed { inside: false } => Self::new(ErrorKind::Disconnected, "the broker closed the connection"),
            NoFrame::Closed { inside: true } => {
                Self::new(ErrorKind::Disconnected, "the broker closed the connection in the middle of an answer")
            }
            NoFrame::Io(error) => lost(&error),
            NoFrame::BadSize(error) => error,
        }
    }
}

fn lost(error: &io::Error) -> Error {
    Error::new(ErrorKind::Disconnected, format!("connection lost: {error}"))
}

fn check_correlation(frame: &Bytes, expected: i32) -> Result<()> {
    let got = frame::correlation_id(frame)?;
    if got == expected {
        return Ok(());
    }
    Err(Error::protocol(format!("answer with correlation id {got} where {expected} was expected")))
}

/// What the two halves share.
struct Pipeline<T> {
    broker: Arc<str>,
    closer: Closer,
    state: Mutex<State<T>>,
}

struct State<T> {
    in_flight: VecDeque<Sent<T>>,
    /// Once set, nothing is added to `in_flight` any more.
    ended: Option<Error>,
}

struct Sent<T> {
    expected: Expected,
    context: T,
}

impl<T> Pipeline<T> {
    /// The connection's one end. The first cause stays; the reader takes what was in flight.
    fn end(&self, cause: Error) -> Error {
        let mut state = lock(&self.state);
        let cause = state.ended.get_or_insert(cause.with_broker(&*self.broker)).clone();
        drop(state);
        self.closer.interrupt();
        cause
    }
}

/// The half that sends.
pub(crate) struct Writer<T> {
    out: Outgoing,
    pipeline: Arc<Pipeline<T>>,
}

impl<T> Writer<T> {
    /// Sends a request. An error while writing ends the connection; the reader then returns `context`.
    ///
    /// # Errors
    /// The context comes back only when nothing was sent: the connection had ended, or the request cannot be encoded.
    pub(crate) fn send<R: Request>(&mut self, request: &R, context: T, deadline: Deadline) -> Result<(), (Error, T)> {
        let encoded = self.out.versions.negotiate::<R>().and_then(|version| self.out.encode(request, version));
        let (expected, frame) = match encoded {
            Ok(encoded) => encoded,
            Err(error) => return Err((error, context)),
        };
        let mut state = lock(&self.pipeline.state);
        if let Some(cause) = &state.ended {
            return Err((cause.clone(), context));
        }
        state.in_flight.push_back(Sent { expected, context });
        drop(state);
        if let Err(cause) = self.out.write(&frame, expected.api, deadline) {
            self.pipeline.end(cause);
        }
        Ok(())
    }

    /// Like [`send`](Self::send) for a request that the broker does not answer (Produce with `acks=0`): gives the
    /// context back once the bytes are with the system.
    pub(crate) fn send_unanswered<R: Request>(&mut self, request: &R, deadline: Deadline) -> Result<()> {
        let version = self.out.versions.negotiate::<R>()?;
        let (expected, frame) = self.out.encode(request, version)?;
        if let Some(cause) = &lock(&self.pipeline.state).ended {
            return Err(cause.clone());
        }
        self.out.write(&frame, expected.api, deadline).map_err(|cause| self.pipeline.end(cause))
    }

    /// Ends the connection with this cause.
    pub(crate) fn end(&self, cause: Error) {
        self.pipeline.end(cause);
    }

    /// Whether the connection has ended, so that a new one is needed.
    pub(crate) fn is_ended(&self) -> bool {
        lock(&self.pipeline.state).ended.is_some()
    }

    /// What ended the connection.
    pub(crate) fn cause(&self) -> Option<Error> {
        lock(&self.pipeline.state).ended.clone()
    }

    /// `host:port`, as it was dialled.
    pub(crate) fn broker(&self) -> &Arc<str> {
        &self.out.broker
    }
}

/// The half that receives.
pub(crate) struct Reader<T> {
    frames: FrameReader,
    pipeline: Arc<Pipeline<T>>,
}

impl<T> Reader<T> {
    /// Waits for the next answer, without a timeout: the writer's side ends the connection when one is overdue.
    ///
    /// # Errors
    /// The connection's end, with everything that was in flight.
    pub(crate) fn receive<R: Request>(&mut self) -> Result<(T, R::Response), (Error, Vec<T>)> {
        let frame = match self.frames.read(None) {
            Ok(frame) => frame,
            Err(no_frame) => return Err(self.ended(no_frame.into())),
        };
        let mut state = lock(&self.pipeline.state);
        let Some(sent) = state.in_flight.pop_front() else {
            drop(state);
            return Err(self.ended(Error::protocol("an answer that nothing was asked for")));
        };
        drop(state);
        let answer = check_correlation(&frame, sent.expected.correlation)
            .and_then(|()| frame::decode_response::<R>(&frame, sent.expected.version));
        match answer {
            Ok(response) => Ok((sent.context, response)),
            Err(cause) => {
                let (cause, mut rest) = self.ended(cause.with_api(R::KEY));
                rest.insert(0, sent.context);
                Err((cause, rest))
            }
        }
    }

    fn ended(&self, cause: Error) -> (Error, Vec<T>) {
        let cause = self.pipeline.end(cause);
        let rest = std::mem::take(&mut lock(&self.pipeline.state).in_flight);
        (cause, rest.into_iter().map(|sent| sent.context).collect())
    }
}

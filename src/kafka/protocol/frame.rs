//! Requests and responses as they travel: a size, a header, a body.
//!
//! Large byte fields are not copied into a [`Frame`]; it keeps them by reference and writes them between the encoded
//! parts. Reading a response back shares its one buffer with what was decoded.

use std::io::{self, IoSlice, Write};

use super::api::{ApiKey, VersionRange};
use super::bytes::Bytes;
use super::decode::{Decoder, Malformed};
use super::encode::Encoder;
use super::error_code::ErrorCode;
use super::schema::{Field, Request, Response};
use crate::kafka::error::{Error, ErrorKind, Result};

const SIZE_PREFIX: usize = 4;

/// The first bytes of a frame are the key, the version and the correlation id of a request, or the correlation id of a
/// response.
const SMALLEST: i32 = 4;

const CLIENT_ID: &Field = &Field::new("RequestHeader", "client_id", VersionRange::new(0, i16::MAX));

/// Encoded bytes with large byte fields spliced in by reference.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    head: Vec<u8>,
    /// Where in `head` bytes are inserted; ascending, each `<= head.len()`.
    splices: Vec<(usize, Bytes)>,
}

impl Frame {
    pub(super) fn new(head: Vec<u8>, splices: Vec<(usize, Bytes)>) -> Self {
        Self { head, splices }
    }

    /// Bytes on the wire, the size prefix included.
    pub fn len(&self) -> usize {
        self.head.len() + self.splices.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes everything with as few calls as the writer takes, continuing after partial writes and interruptions.
    ///
    /// # Errors
    /// The writer's; some of the frame may have been written then. `WriteZero` if it takes nothing more.
    pub fn write_to(&self, writer: &mut impl Write) -> io::Result<()> {
        if self.splices.is_empty() {
            return writer.write_all(&self.head);
        }
        let mut slices: Vec<_> = self.parts().map(IoSlice::new).collect();
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match writer.write_vectored(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => IoSlice::advance_slices(&mut rest, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Everything in one copy.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        self.parts().for_each(|part| bytes.extend_from_slice(part));
        bytes
    }

    /// The encoder's buffer, to be used again. What was spliced in is dropped.
    pub fn into_buffer(self) -> Vec<u8> {
        self.head
    }

    /// Encoded parts and splices in the order in which they travel.
    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.splices.iter().map(|(at, bytes)| (*at, &bytes[..]));
        let mut start = 0;
        ends.chain([(self.head.len(), &[][..])]).flat_map(move |(end, splice)| {
            let part = &self.head[start..end];
            start = end;
            [part, splice]
        })
    }
}

/// A request in a frame of its own.
///
/// # Errors
/// [`ErrorKind::State`] if this version cannot carry what is set in it.
pub fn encode_request<R: Request>(request: &R, version: i16, correlation_id: i32, client_id: &str) -> Result<Frame> {
    encode_request_into(Vec::new(), request, version, correlation_id, client_id)
}

/// Like [`encode_request`], in a buffer whose content is replaced and whose capacity is used.
///
/// # Errors
/// [`ErrorKind::State`] if this version cannot carry what is set in it.
pub fn encode_request_into<R: Request>(
    buffer: Vec<u8>,
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: &str,
) -> Result<Frame> {
    let mut out = start(buffer);
    out.put_i16(R::KEY.code());
    out.put_i16(version);
    out.put_i32(correlation_id);
    // The fixed encoding also in the flexible header, so that every broker can read it.
    out.put_string(Some(client_id), CLIENT_ID);
    if version >= R::FLEXIBLE {
        out.put_uvarint(0);
    }
    request.encode(&mut out, version);
    seal(out).map_err(|error| error.with_api(R::KEY))
}

/// A broker's answer to an `R` of this version, in a frame of its own.
///
/// # Errors
/// [`ErrorKind::State`] if this version cannot carry what is set in it.
pub fn encode_response<R: Request>(response: &R::Response, version: i16, correlation_id: i32) -> Result<Frame> {
    let mut out = start(Vec::new());
    out.put_i32(correlation_id);
    if has_flexible_response_header::<R>(version) {
        out.put_uvarint(0);
    }
    response.encode(&mut out, version);
    seal(out).map_err(|error| error.with_api(R::KEY))
}

/// The correlation id of a response.
///
/// # Errors
/// [`ErrorKind::Protocol`] if the frame is shorter than that.
pub fn correlation_id(frame: &[u8]) -> Result<i32> {
    match frame.first_chunk() {
        Some(id) => Ok(i32::from_be_bytes(*id)),
        None => Err(Error::protocol(format!("invalid frame length {}", frame.len()))),
    }
}

/// The answer to an `R` that was sent in this version. `frame` is without its size.
///
/// # Errors
/// [`ErrorKind::Protocol`] if it is anything else than exactly that message.
pub fn decode_response<R: Request>(frame: &Bytes, version: i16) -> Result<R::Response> {
    let read = |version| {
        let mut input = Decoder::new(frame);
        input.i32()?;
        if has_flexible_response_header::<R>(version) {
            input.skip_tagged_fields()?;
        }
        let response = R::Response::decode(&mut input, version)?;
        input.expect_end().map(|()| response)
    };
    // A broker that does not know the version of an ApiVersions request answers in version 0 (KIP-511).
    if R::KEY == ApiKey::ApiVersions
        && frame.get(4..6) == Some(&ErrorCode::UNSUPPORTED_VERSION.0.to_be_bytes()[..])
        && let Ok(response) = read(0)
    {
        return Ok(response);
    }
    read(version).map_err(|malformed| unreadable::<R>("response", version, malformed))
}

/// How a request begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API's number, which need not be a known one.
    pub api_key: i16,
    /// The version that the body is in.
    pub api_version: i16,
    /// What the answer must carry.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
    /// Where the body starts in the frame.
    body: usize,
}

/// The header of a request. `frame` is without its size. Of an API that is not known only the first three fields are
/// read, for the shape of the rest depends on it.
///
/// # Errors
/// [`ErrorKind::Protocol`] if the frame does not begin with a header.
pub fn decode_request_header(frame: &Bytes) -> Result<RequestHeader> {
    let read = || {
        let mut input = Decoder::new(frame);
        let (api_key, api_version, correlation_id) = (input.i16()?, input.i16()?, input.i32()?);
        let mut client_id = None;
        if let Some(key) = ApiKey::from_code(api_key) {
            client_id = input.string().map_err(|malformed| malformed.within(CLIENT_ID))?;
            if key.is_flexible(api_version) {
                input.skip_tagged_fields()?;
            }
        }
        let body = frame.len() - input.remaining();
        Ok(RequestHeader { api_key, api_version, correlation_id, client_id, body })
    };
    read().map_err(|malformed: Malformed| Error::protocol(format!("unreadable request header: {malformed}")))
}

/// The body of a request whose header was read from the same frame. What stands behind it is ignored, as Kafka ignores
/// it: librdkafka 2.16 leaves three bytes there when it asks Metadata 9 or above for all topics.
///
/// # Errors
/// [`ErrorKind::Protocol`] if it does not begin with that message.
pub fn decode_request<R: Request>(frame: &Bytes, header: &RequestHeader) -> Result<R> {
    let body = frame.slice(header.body.min(frame.len())..frame.len());
    let mut input = Decoder::new(&body);
    R::decode(&mut input, header.api_version)
        .map_err(|malformed| unreadable::<R>("request", header.api_version, malformed))
}

/// The length of the frame that follows its first four bytes, if it is sane.
///
/// # Errors
/// [`ErrorKind::Protocol`] if it is negative, too small for any message or above `limit`. Bytes that are the start of
/// TLS or HTTP are called by their name.
pub fn check_size(prefix: [u8; SIZE_PREFIX], limit: usize) -> Result<usize> {
    let size = i32::from_be_bytes(prefix);
    match usize::try_from(size) {
        Ok(length) if size >= SMALLEST && length <= limit => return Ok(length),
        _ => {}
    }
    let text = match &prefix {
        [0x15 | 0x16, 3, ..] => {
            return Err(Error::new(
                ErrorKind::Protocol,
                "the other side speaks TLS; this side is set to PLAINTEXT (security.protocol)",
            ));
        }
        b"HTTP" => "looks like an HTTP server, not Kafka".to_owned(),
        b"GET " | b"POST" | b"HEAD" | b"PUT " => "looks like an HTTP client, not Kafka".to_owned(),
        _ if size < SMALLEST => format!("invalid frame length {size}"),
        _ => format!("frame of {size} bytes exceeds limit {limit}"),
    };
    Err(Error::protocol(text))
}

/// An answer to ApiVersions has the fixed header in every version: its client does not know yet what the broker speaks.
fn has_flexible_response_header<R: Request>(version: i16) -> bool {
    version >= R::FLEXIBLE && R::KEY != ApiKey::ApiVersions
}

fn start(mut buffer: Vec<u8>) -> Encoder {
    buffer.clear();
    buffer.extend_from_slice(&[0; SIZE_PREFIX]);
    Encoder::new(buffer)
}

fn seal(out: Encoder) -> Result<Frame> {
    let mut frame = out.finish()?;
    let size = frame.len() - SIZE_PREFIX;
    let size = i32::try_from(size).map_err(|_| Error::state(format!("frame of {size} bytes cannot be sent")))?;
    frame.head[..SIZE_PREFIX].copy_from_slice(&size.to_be_bytes());
    Ok(frame)
}

fn unreadable<R: Request>(what: &str, version: i16, malformed: Malformed) -> Error {
    Error::protocol(format!("unreadable {what} (version {version}): {malformed}")).with_api(R::KEY)
}

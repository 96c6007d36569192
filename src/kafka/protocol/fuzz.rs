//! Entry points for fuzzing and for tests from outside of the crate; not part of the interface.
//!
//! Each takes bytes as a peer might send them, says whether they were readable, and panics only if what was read does
//! not survive being encoded and read again.

use super::bytes::Bytes;
use super::decode::Decoder;
use super::encode::Encoder;
use super::frame::{self, Frame};
use super::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, for_each_request};
use super::schema::{Request, Response};

/// An API that has messages.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    /// Its number.
    pub key: i16,
    /// Its request's name.
    pub request: &'static str,
    /// Its lowest version.
    pub min: i16,
    /// Its highest version.
    pub max: i16,
    /// Its first version in the flexible encoding.
    pub flexible: i16,
}

/// The APIs that have messages.
pub fn apis() -> Vec<Api> {
    macro_rules! list {
        ($($request:ident),+) => {
            vec![$({
                use super::messages::$request as R;
                Api {
                    key: R::KEY.code(),
                    request: stringify!($request),
                    min: R::VERSIONS.min,
                    max: R::VERSIONS.max,
                    flexible: R::FLEXIBLE,
                }
            }),+]
        };
    }
    for_each_request!(list)
}

/// Reads the body of a request.
pub fn request(api_key: i16, version: i16, body: &[u8]) -> bool {
    macro_rules! dispatch {
        ($($request:ident),+) => {
            match api_key {
                $(key if key == super::messages::$request::KEY.code() => {
                    use super::messages::$request as R;
                    survives(body, |input| whole(input, |input| R::decode(input, version)), |message: &R, out| {
                        Request::encode(message, out, version);
                    })
                })+
                _ => false,
            }
        };
    }
    for_each_request!(dispatch)
}

/// Reads the body of a response.
pub fn response(api_key: i16, version: i16, body: &[u8]) -> bool {
    macro_rules! dispatch {
        ($($request:ident),+) => {
            match api_key {
                $(key if key == super::messages::$request::KEY.code() => {
                    type R = <super::messages::$request as Request>::Response;
                    survives(body, |input| whole(input, |input| R::decode(input, version)), |message: &R, out| {
                        Response::encode(message, out, version);
                    })
                })+
                _ => false,
            }
        };
    }
    for_each_request!(dispatch)
}

/// Reads a response with its header.
pub fn response_frame(api_key: i16, version: i16, bytes: &[u8]) -> bool {
    let bytes = Bytes::from(bytes);
    macro_rules! dispatch {
        ($($request:ident),+) => {
            match api_key {
                $(key if key == super::messages::$request::KEY.code() => {
                    frame::decode_response::<super::messages::$request>(&bytes, version).is_ok()
                })+
                _ => false,
            }
        };
    }
    for_each_request!(dispatch)
}

/// Reads a request with its header.
pub fn request_frame(bytes: &[u8]) -> bool {
    let bytes = Bytes::from(bytes);
    let Ok(header) = frame::decode_request_header(&bytes) else { return false };
    macro_rules! dispatch {
        ($($request:ident),+) => {
            match header.api_key {
                $(key if key == super::messages::$request::KEY.code() => {
                    frame::decode_request::<super::messages::$request>(&bytes, &header).is_ok()
                })+
                _ => false,
            }
        };
    }
    for_each_request!(dispatch)
}

/// Reads the subscription of a group member.
pub fn subscription(bytes: &[u8]) -> bool {
    let Ok(read) = ConsumerProtocolSubscription::from_bytes(&bytes.into()) else { return false };
    if let Ok(again) = read.to_bytes(3) {
        assert_eq!(ConsumerProtocolSubscription::from_bytes(&again).ok().as_ref(), Some(&read));
    }
    true
}

/// Reads the assignment of a group member.
pub fn assignment(bytes: &[u8]) -> bool {
    let Ok(read) = ConsumerProtocolAssignment::from_bytes(&bytes.into()) else { return false };
    if let Ok(again) = read.to_bytes(3) {
        assert_eq!(ConsumerProtocolAssignment::from_bytes(&again).ok().as_ref(), Some(&read));
    }
    true
}

fn whole<T>(
    input: &mut Decoder<'_>,
    read: impl FnOnce(&mut Decoder<'_>) -> Result<T, super::Malformed>,
) -> Result<T, super::Malformed> {
    let message = read(input)?;
    input.expect_end().map(|()| message)
}

/// Encoding fails only where escaping made a string too long.
fn survives<T: PartialEq + std::fmt::Debug>(
    body: &[u8],
    read: impl Fn(&mut Decoder<'_>) -> Result<T, super::Malformed>,
    encode: impl FnOnce(&T, &mut Encoder),
) -> bool {
    let Ok(message) = read(&mut Decoder::new(&body.into())) else { return false };
    let mut out = Encoder::new(Vec::new());
    encode(&message, &mut out);
    if let Ok(again) = out.finish().as_ref().map(Frame::to_vec) {
        assert_eq!(read(&mut Decoder::new(&again.into())).as_ref(), Ok(&message));
    }
    true
}

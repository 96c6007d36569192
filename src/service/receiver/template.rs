//! Records in a form of the user's: `--format`, with the letters of `kcat`, and `--json`.
//!
//! Whatever a record holds goes through as it is, so that binary values survive; JSON has text only, and says where it
//! had to encode.

use std::io::Write as _;

use crate::ConsumerRecord;
use crate::service::escapes::unescape;

/// What each record becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    KeyLength,
    Value,
    ValueLength,
    /// Four bytes, the highest first; -1 for a null value.
    ValueLengthBinary,
    Headers,
}

impl Template {
    /// Reads a format: text with the escapes `\t`, `\n`, `\r`, `\0`, `\xHH`, `\\` and these letters: `%t` topic, `%p`
    /// partition, `%o` offset, `%T` timestamp in milliseconds, `%k` key, `%K` its length, `%s` value, `%S` its length (-1
    /// for null), `%R` the same as four bytes, `%h` headers as `name=value,…`, `%%` a per cent sign.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            let mut before = unescape(&rest[..at])?;
            let letter = rest[at + 1..].chars().next().ok_or("it ends with half a letter; a per cent sign is %%")?;
            rest = &rest[at + 1 + letter.len_utf8()..];
            let piece = match letter {
                't' => Piece::Topic,
                'p' => Piece::Partition,
                'o' => Piece::Offset,
                'T' => Piece::Timestamp,
                'k' => Piece::Key,
                'K' => Piece::KeyLength,
                's' => Piece::Value,
                'S' => Piece::ValueLength,
                'R' => Piece::ValueLengthBinary,
                'h' => Piece::Headers,
                '%' => {
                    before.push(b'%');
                    pieces.push(Piece::Text(before));
                    continue;
                }
                other => {
                    return Err(format!(
                        "%{} is no letter; there are %t %p %o %T %k %K %s %S %R %h and %%",
                        other.escape_debug()
                    ));
                }
            };
            if !before.is_empty() {
                pieces.push(Piece::Text(before));
            }
            pieces.push(piece);
        }
        let after = unescape(rest)?;
        if !after.is_empty() {
            pieces.push(Piece::Text(after));
        }
        if pieces.is_empty() {
            return Err("the format is empty".to_owned());
        }
        Ok(Self(pieces))
    }

    /// Adds a record in this form.
    pub(super) fn write(&self, record: &ConsumerRecord<'_>, buffer: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => buffer.extend_from_slice(text),
                Piece::Topic => buffer.extend_from_slice(record.topic().as_bytes()),
                Piece::Partition => number(record.partition().into(), buffer),
                Piece::Offset => number(record.offset(), buffer),
                Piece::Timestamp => number(record.timestamp(), buffer),
                Piece::Key => buffer.extend_from_slice(record.key().unwrap_or_default()),
                Piece::KeyLength => number(length(record.key()), buffer),
                Piece::Value => buffer.extend_from_slice(record.value().unwrap_or_default()),
                Piece::ValueLength => number(length(record.value()), buffer),
                Piece::ValueLengthBinary => {
                    // A record is shorter than 2 GiB.
                    let length = i32::try_from(length(record.value())).unwrap_or(i32::MAX);
                    buffer.extend_from_slice(&length.to_be_bytes());
                }
                Piece::Headers => {
                    for (at, header) in record.headers().enumerate() {
                        if at > 0 {
                            buffer.push(b',');
                        }
                        buffer.extend_from_slice(header.key);
                        buffer.push(b'=');
                        buffer.extend_from_slice(header.value.unwrap_or(b"NULL"));
                    }
                }
            }
        }
    }
}

fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
}

fn number(number: i64, buffer: &mut Vec<u8>) {
    // A Vec takes everything.
    let _ = write!(buffer, "{number}");
}

/// Adds a record as one JSON object, with a newline.
pub(super) fn write_json(record: &ConsumerRecord<'_>, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(b"{\"topic\":");
    string(record.topic(), buffer);
    let _ = write!(
        buffer,
        ",\"partition\":{},\"offset\":{},\"timestamp\":{},\"key\":",
        record.partition(),
        record.offset(),
        record.timestamp()
    );
    json(record.key(), buffer);
    buffer.extend_from_slice(b",\"value\":");
    json(record.value(), buffer);
    buffer.extend_from_slice(b",\"headers\":[");
    for (at, header) in record.headers().enumerate() {
        buffer.extend_from_slice(if at > 0 { b",{\"key\":" } else { b"{\"key\":" });
        json(Some(header.key), buffer);
        buffer.extend_from_slice(b",\"value\":");
        json(header.value, buffer);
        buffer.push(b'}');
    }
    buffer.extend_from_slice(b"]}\n");
}

/// A string if it is UTF-8, else `{"base64":"…"}`; null for none.
fn json(bytes: Option<&[u8]>, buffer: &mut Vec<u8>) {
    let Some(bytes) = bytes else { return buffer.extend_from_slice(b"null") };
    match std::str::from_utf8(bytes) {
        Ok(text) => string(text, buffer),
        Err(_) => {
            buffer.extend_from_slice(b"{\"base64\":\"");
            base64(bytes, buffer);
            buffer.extend_from_slice(b"\"}");
        }
    }
}

fn string(text: &str, buffer: &mut Vec<u8>) {
    // Neither a Vec nor a string can fail.
    let _ = serde_json::to_writer(buffer, text);
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8], buffer: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 63];
            buffer.push(if at > three.len() { b'=' } else { digit });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_read_piece_by_piece() {
        let text = |text: &str| Piece::Text(text.as_bytes().to_vec());
        assert_eq!(
            Template::parse(r"%t-%p@%o\t%%%k%K%s%S%R%h%T\x00").unwrap().0,
            [
                Piece::Topic,
                text("-"),
                Piece::Partition,
                text("@"),
                Piece::Offset,
                text("\t%"),
                Piece::Key,
                Piece::KeyLength,
                Piece::Value,
                Piece::ValueLength,
                Piece::ValueLengthBinary,
                Piece::Headers,
                Piece::Timestamp,
                text("\0"),
            ]
        );
        for (wrong, part) in [
            ("", "empty"),
            ("%", "half a letter"),
            ("%s%", "half a letter"),
            ("%q", "%q is no letter"),
            ("%é", "%é is no letter"),
            ("%\u{1b}", "is no letter"),
            (r"%s\", "half an escape"),
        ] {
            let error = Template::parse(wrong).unwrap_err();
            assert!(error.contains(part) && !error.contains(char::is_control), "{wrong}: {error}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_encoded_in_json() {
        let encoded = |bytes: &[u8]| {
            let mut buffer = Vec::new();
            json(Some(bytes), &mut buffer);
            String::from_utf8(buffer).unwrap()
        };
        for (bytes, expected) in [
            (&b"\xff"[..], r#"{"base64":"/w=="}"#),
            (b"\xff\xfe", r#"{"base64":"//4="}"#),
            (b"\xff\xfe\xfd", r#"{"base64":"//79"}"#),
            (b"\xffoobar", r#"{"base64":"/29vYmFy"}"#),
            (b"a\"\n\0\xc3\xa9", "\"a\\\"\\n\\u0000é\""),
            (b"", "\"\""),
        ] {
            assert_eq!(encoded(bytes), expected);
        }
        let mut buffer = Vec::new();
        json(None, &mut buffer);
        assert_eq!(buffer, b"null");
    }
}

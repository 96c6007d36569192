//! Bytes to values.
//!
//! The input is hostile. Every length is compared with the bytes that are left before anything is reserved for it, a
//! decoder never panics and never recurses deeper than the schema is nested. What is wrong is a [`Malformed`], which
//! costs no allocation until someone shows it.

use std::fmt;

use super::bytes::Bytes;
use super::encode::MAX_STRING;
use super::schema::Field;

/// What is wrong with bytes that should have been a message, and in which field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    what: What,
    field: Option<&'static Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Truncated { need: usize, left: usize },
    ArrayLength { count: usize, left: usize },
    NegativeLength(i64),
    StringLength(usize),
    Null,
    Varint,
    TagOrder { tag: u32, after: u32 },
    TagSize { tag: u32, unread: usize },
    Trailing(usize),
    Version(i16),
}

impl Malformed {
    /// A version that the schema does not know.
    pub(super) fn version(version: i16) -> Self {
        What::Version(version).into()
    }

    /// A null where the version does not allow one.
    pub(super) fn null() -> Self {
        What::Null.into()
    }

    /// Names the field, unless a field inside it is named already.
    pub(super) fn within(mut self, field: &'static Field) -> Self {
        self.field.get_or_insert(field);
        self
    }
}

impl From<What> for Malformed {
    fn from(what: What) -> Self {
        Self { what, field: None }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = self.field {
            write!(f, "{field}: ")?;
        }
        match self.what {
            What::Truncated { need, left } => write!(f, "ends early, {need} bytes needed and {left} left"),
            What::ArrayLength { count, left } => write!(f, "array of {count} elements in {left} bytes"),
            What::NegativeLength(length) => write!(f, "invalid length {length}"),
            What::StringLength(length) => write!(f, "string of {length} bytes, the limit is {MAX_STRING}"),
            What::Null => f.write_str("null is not allowed here"),
            What::Varint => f.write_str("varint too long"),
            What::TagOrder { tag, after } => write!(f, "tagged field {tag} after {after}"),
            What::TagSize { tag, unread } => write!(f, "tagged field {tag} leaves {unread} bytes unread"),
            What::Trailing(count) => write!(f, "{count} bytes too many"),
            What::Version(version) => write!(f, "version {version} is not known"),
        }
    }
}

/// Reads values one after the other; byte fields share the frame that is read.
#[derive(Debug)]
pub struct Decoder<'a> {
    frame: &'a Bytes,
    /// `at <= end <= frame.len()`
    at: usize,
    end: usize,
    version: i16,
    flexible: bool,
}

impl<'a> Decoder<'a> {
    /// Reads from the start of these bytes.
    pub fn new(frame: &'a Bytes) -> Self {
        Self { frame, at: 0, end: frame.len(), version: 0, flexible: false }
    }

    /// What follows is of this version, in the flexible encoding (KIP-482) or the fixed one.
    pub fn begin(&mut self, version: i16, flexible: bool) {
        self.version = version;
        self.flexible = flexible;
    }

    /// The version that is being read.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Whether lengths are varints and structures end with tagged fields.
    pub fn is_flexible(&self) -> bool {
        self.flexible
    }

    /// How many bytes are left to read.
    pub fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// The bytes that are left, without reading them.
    pub fn rest(&self) -> &'a [u8] {
        &self.frame[self.at..self.end]
    }

    /// An error if bytes are left.
    pub fn expect_end(&self) -> Result<(), Malformed> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(What::Trailing(count).into()),
        }
    }

    /// Reads one byte; like Kafka, anything but zero is true.
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        Ok(self.i8()? != 0)
    }

    /// Reads one byte.
    #[inline(never)]
    pub fn i8(&mut self) -> Result<i8, Malformed> {
        self.array().map(i8::from_be_bytes)
    }

    /// Reads two bytes.
    #[inline(never)]
    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    /// Reads four bytes.
    #[inline(never)]
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// Reads eight bytes.
    #[inline(never)]
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    /// Reads exactly `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    /// Reads an unsigned varint; more than five bytes or 32 bits are refused.
    #[inline(never)]
    pub fn uvarint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(What::Varint.into())
    }

    /// Reads a string, or null. Bytes that are not UTF-8 become visible escapes (`\xff`): a peer's wrong name must not
    /// make the rest of its message unreadable.
    #[inline(never)]
    pub fn string(&mut self) -> Result<Option<String>, Malformed> {
        let length = if self.flexible { self.compact_length()? } else { non_negative(self.i16()?.into())? };
        let Some(length) = length else { return Ok(None) };
        if length > MAX_STRING {
            return Err(What::StringLength(length).into());
        }
        Ok(Some(escape_invalid(self.take(length)?)))
    }

    /// Reads bytes, or null; they share the frame.
    #[inline(never)]
    pub fn bytes(&mut self) -> Result<Option<Bytes>, Malformed> {
        let Some(length) = self.length()? else { return Ok(None) };
        let start = self.at;
        self.take(length)?;
        Ok(Some(self.frame.slice(start..self.at)))
    }

    /// Reads the number of elements of an array, or null. No element takes less than a byte, so a count beyond the
    /// bytes that are left is refused.
    #[inline(never)]
    pub fn array_length(&mut self) -> Result<Option<usize>, Malformed> {
        let count = self.length()?;
        match count {
            Some(count) if count > self.remaining() => Err(What::ArrayLength { count, left: self.remaining() }.into()),
            _ => Ok(count),
        }
    }

    /// Reads a section of tagged fields. `known` reads the content of a field and returns true, or returns false for a
    /// tag it does not know, which is then skipped.
    pub fn tagged_fields(
        &mut self,
        mut known: impl FnMut(&mut Self, u32) -> Result<bool, Malformed>,
    ) -> Result<(), Malformed> {
        let mut previous = None;
        for _ in 0..self.uvarint()? {
            let tag = self.uvarint()?;
            if let Some(after) = previous.filter(|&previous| tag <= previous) {
                return Err(What::TagOrder { tag, after }.into());
            }
            previous = Some(tag);
            let size = self.uvarint()? as usize;
            self.check_left(size)?;
            let outer = std::mem::replace(&mut self.end, self.at + size);
            if known(self, tag)? {
                if self.at != self.end {
                    return Err(What::TagSize { tag, unread: self.remaining() }.into());
                }
            } else {
                self.at = self.end;
            }
            self.end = outer;
        }
        Ok(())
    }

    /// Reads a section of tagged fields and keeps none.
    pub fn skip_tagged_fields(&mut self) -> Result<(), Malformed> {
        self.tagged_fields(|_, _| Ok(false))
    }

    fn length(&mut self) -> Result<Option<usize>, Malformed> {
        if self.flexible { self.compact_length() } else { non_negative(self.i32()?.into()) }
    }

    /// One more than the length, zero for null.
    fn compact_length(&mut self) -> Result<Option<usize>, Malformed> {
        Ok((self.uvarint()? as usize).checked_sub(1))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        self.check_left(count)?;
        let start = self.at;
        self.at += count;
        Ok(&self.frame[start..self.at])
    }

    fn check_left(&self, need: usize) -> Result<(), Malformed> {
        let left = self.remaining();
        if need > left { Err(What::Truncated { need, left }.into()) } else { Ok(()) }
    }
}

/// A length in the fixed encoding: -1 is null, anything below is refused.
fn non_negative(length: i64) -> Result<Option<usize>, Malformed> {
    match length {
        -1 => Ok(None),
        _ => usize::try_from(length).map(Some).map_err(|_| What::NegativeLength(length).into()),
    }
}

/// The bytes as text, with each byte that is not UTF-8 as `\xNN`.
fn escape_invalid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode<T>(
        bytes: &[u8],
        flexible: bool,
        read: impl FnOnce(&mut Decoder<'_>) -> Result<T, Malformed>,
    ) -> Result<T, String> {
        let frame = Bytes::from(bytes);
        let mut input = Decoder::new(&frame);
        input.begin(0, flexible);
        read(&mut input).map_err(|malformed| malformed.to_string())
    }

    #[test]
    fn varints_have_five_bytes_and_32_bits_at_the_most() {
        let read = |bytes: &[u8]| decode(bytes, true, |input| input.uvarint());
        assert_eq!(read(&[0x7f]), Ok(127));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x1f]), Err("varint too long".into()));
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), Err("varint too long".into()));
        assert_eq!(read(&[0x80, 0x80]), Err("ends early, 1 bytes needed and 0 left".into()));
    }

    #[test]
    fn lengths_are_checked_before_anything_is_reserved() {
        let fixed = |bytes: &[u8]| decode(bytes, false, |input| input.array_length());
        assert_eq!(fixed(&[0xff; 4]), Ok(None));
        assert_eq!(fixed(&[0xff, 0xff, 0xff, 0xfe]), Err("invalid length -2".into()));
        assert_eq!(fixed(&[0x7f, 0xff, 0xff, 0xff, 0]), Err("array of 2147483647 elements in 1 bytes".into()));
        let compact = |bytes: &[u8]| decode(bytes, true, |input| input.array_length());
        assert_eq!(compact(&[0]), Ok(None));
        assert_eq!(compact(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]), Err("array of 4294967294 elements in 1 bytes".into()));
        assert_eq!(decode(&[0xff, 0xfe], false, |input| input.string()), Err("invalid length -2".into()));
        assert_eq!(
            decode(&[3, b'a'], true, |input| input.string()),
            Err("ends early, 2 bytes needed and 1 left".into())
        );
    }

    #[test]
    fn invalid_utf8_is_shown_escaped() {
        let text = decode(b"\x00\x05a\xff\xc3\xa4\xe2", false, |input| input.string());
        assert_eq!(text, Ok(Some("a\\xffä\\xe2".into())));
    }

    #[test]
    fn unknown_tags_are_skipped_and_disorderly_ones_refused() {
        let skip = |bytes: &[u8]| decode(bytes, true, |input| input.skip_tagged_fields());
        assert_eq!(skip(&[2, 0, 1, 9, 7, 0]), Ok(()));
        assert_eq!(skip(&[2, 3, 0, 3, 0]), Err("tagged field 3 after 3".into()));
        assert_eq!(skip(&[2, 3, 0, 1, 0]), Err("tagged field 1 after 3".into()));
        assert_eq!(skip(&[1, 0, 200, 1]), Err("ends early, 200 bytes needed and 0 left".into()));
        let short = decode(&[1, 5, 3, 0, 0, 0], true, |input| input.tagged_fields(|input, _| input.i8().map(|_| true)));
        assert_eq!(short, Err("tagged field 5 leaves 2 bytes unread".into()));
        let long =
            decode(&[1, 5, 3, 0, 0, 0, 0], true, |input| input.tagged_fields(|input, _| input.i32().map(|_| true)));
        assert_eq!(long, Err("ends early, 4 bytes needed and 3 left".into()));
    }
}

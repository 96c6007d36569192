//! Messages as tables.
//!
//! [`schema!`] turns a table that reads like Kafka's own definition of an API into structs that encode and decode
//! themselves in every version. A row is `field: type [versions, …] = default`, where the brackets hold, in this order:
//!
//! | in brackets | meaning |
//! | --- | --- |
//! | `3+`, `0-7`, `1` | the versions that have the field |
//! | `nullable 1+` | the versions in which null is legal; the type is an `Option` |
//! | `tag 0` | a tagged field (KIP-482) with this tag; rows are in ascending order of their tags |
//! | `ignorable` | in a version without the field its value is dropped; otherwise only the default can be encoded there |
//!
//! A default that is not written is zero, false or empty, for an `Option` too: null only where the table says `= None`.

use std::fmt;

use super::api::{ApiKey, VersionRange};
use super::bytes::Bytes;
use super::decode::{Decoder, Malformed};
use super::encode::Encoder;
use super::error_code::ErrorCode;
use super::uuid::Uuid;
use crate::kafka::error::Result;

/// A request, and with it its API.
pub trait Request: Sized {
    /// The API it calls.
    const KEY: ApiKey;
    /// The versions that can be encoded and decoded.
    const VERSIONS: VersionRange;
    /// The versions that this client asks for.
    const CLIENT_VERSIONS: VersionRange;
    /// The first version in the flexible encoding (KIP-482); `i16::MAX` if all are in the fixed one.
    const FLEXIBLE: i16;
    /// What answers it.
    type Response: Response;

    /// Appends the body; a version or a value that cannot be encoded is reported by [`Encoder::finish`].
    fn encode(&self, out: &mut Encoder, version: i16);
    /// Reads the body.
    fn decode(input: &mut Decoder<'_>, version: i16) -> Result<Self, Malformed>;
}

/// The answer to a [`Request`].
pub trait Response: Sized {
    /// Appends the body; a version or a value that cannot be encoded is reported by [`Encoder::finish`].
    fn encode(&self, out: &mut Encoder, version: i16);
    /// Reads the body.
    fn decode(input: &mut Decoder<'_>, version: i16) -> Result<Self, Malformed>;
}

/// A row of a schema.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    message: &'static str,
    name: &'static str,
    versions: VersionRange,
    nullable: Option<VersionRange>,
    tag: Option<u32>,
    ignorable: bool,
}

impl Field {
    pub(super) const fn new(message: &'static str, name: &'static str, versions: VersionRange) -> Self {
        Self { message, name, versions, nullable: None, tag: None, ignorable: false }
    }

    pub(super) const fn nullable(self, versions: VersionRange) -> Self {
        Self { nullable: Some(versions), ..self }
    }

    pub(super) const fn tag(self, tag: u32) -> Self {
        Self { tag: Some(tag), ..self }
    }

    pub(super) const fn ignorable(self) -> Self {
        Self { ignorable: true, ..self }
    }

    /// Whether the field has a place of its own in the body of this version.
    pub(super) fn is_plain(&self, version: i16) -> bool {
        self.tag.is_none() && self.versions.contains(version)
    }

    /// Whether the field travels in this version under this tag.
    pub(super) fn is_tag(&self, version: i16, tag: u32) -> bool {
        self.tag == Some(tag) && self.versions.contains(version)
    }

    fn is_nullable(&self, version: i16) -> bool {
        self.nullable.is_some_and(|versions| versions.contains(version))
    }

    /// Appends the field if it has a place of its own in this version; complains about a value that cannot travel.
    ///
    /// This and its like are kept out of the messages, of which there are many, so that the program stays small: once
    /// for each type, not once for each field.
    #[inline(never)]
    pub(super) fn encode_plain<T: Wire>(&self, out: &mut Encoder, value: &T, default: fn() -> T) {
        if self.is_plain(out.version()) {
            value.encode(out, self);
        } else if !self.ignorable && !self.versions.contains(out.version()) && *value != default() {
            let version = out.version();
            out.fail(|| format!("{self} is set, but version {version} cannot carry it"));
        }
    }

    /// Whether the field is to be appended as a tagged field: only if it says something.
    #[inline(never)]
    pub(super) fn is_sent_tagged<T: Wire>(&self, version: i16, value: &T, default: fn() -> T) -> bool {
        self.tag.is_some() && self.versions.contains(version) && *value != default()
    }

    /// Reads the field if it has a place of its own in this version.
    #[inline(never)]
    pub(super) fn decode_plain<T: Wire>(
        &'static self,
        input: &mut Decoder<'_>,
        value: &mut T,
    ) -> Result<(), Malformed> {
        if self.is_plain(input.version()) {
            *value = T::decode(input, self).map_err(|malformed| malformed.within(self))?;
        }
        Ok(())
    }

    /// Reads the field if it travels under this tag; tells whether it does.
    #[inline(never)]
    pub(super) fn decode_tagged<T: Wire>(
        &'static self,
        input: &mut Decoder<'_>,
        tag: u32,
        value: &mut T,
    ) -> Result<bool, Malformed> {
        let is_it = self.is_tag(input.version(), tag);
        if is_it {
            *value = T::decode(input, self).map_err(|malformed| malformed.within(self))?;
        }
        Ok(is_it)
    }

    /// Appends the field as a tagged field.
    #[inline(never)]
    pub(super) fn encode_tagged<T: Wire>(&self, out: &mut Encoder, value: &T) {
        if let Some(tag) = self.tag {
            out.put_tagged(tag, |out| value.encode(out, self));
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.message, self.name)
    }
}

/// A type that a field can have.
pub trait Wire: Sized + PartialEq {
    /// The value of a field that has no default of its own.
    fn initial() -> Self;
    /// Appends the value.
    fn encode(&self, out: &mut Encoder, field: &Field);
    /// Reads a value.
    fn decode(input: &mut Decoder<'_>, field: &Field) -> Result<Self, Malformed>;
    /// Some value that `version` can carry.
    #[cfg(test)]
    fn sample(source: &mut super::tests::Source, version: i16, field: &Field) -> Self;
    /// The value as text, in the notation of `tests/kafka.txt`.
    #[cfg(test)]
    fn describe(&self, version: i16) -> String;
}

/// A type with a null form.
pub trait NullableWire: Wire {
    /// Appends null.
    fn encode_null(out: &mut Encoder, field: &Field);
    /// Appends the value where null could stand instead.
    fn encode_present(&self, out: &mut Encoder, field: &Field) {
        self.encode(out, field);
    }
    /// Reads a value or null.
    fn decode_nullable(input: &mut Decoder<'_>, field: &Field) -> Result<Option<Self>, Malformed>;
}

macro_rules! fixed_size {
    ($($type:ty: $put:ident, $read:ident;)+) => {$(
        impl Wire for $type {
            fn initial() -> Self {
                Self::default()
            }
            fn encode(&self, out: &mut Encoder, _: &Field) {
                out.$put(*self);
            }
            fn decode(input: &mut Decoder<'_>, _: &Field) -> Result<Self, Malformed> {
                input.$read()
            }
            #[cfg(test)]
            fn sample(source: &mut super::tests::Source, _: i16, _: &Field) -> Self {
                source.integer() as Self
            }
            #[cfg(test)]
            fn describe(&self, _: i16) -> String {
                self.to_string()
            }
        }
    )+};
}

fixed_size! {
    i8: put_i8, i8;
    i16: put_i16, i16;
    i32: put_i32, i32;
    i64: put_i64, i64;
}

impl Wire for bool {
    fn initial() -> Self {
        false
    }
    fn encode(&self, out: &mut Encoder, _: &Field) {
        out.put_bool(*self);
    }
    fn decode(input: &mut Decoder<'_>, _: &Field) -> Result<Self, Malformed> {
        input.bool()
    }
    #[cfg(test)]
    fn sample(source: &mut super::tests::Source, _: i16, _: &Field) -> Self {
        source.byte() & 1 == 1
    }
    #[cfg(test)]
    fn describe(&self, _: i16) -> String {
        self.to_string()
    }
}

impl Wire for ErrorCode {
    fn initial() -> Self {
        Self::NONE
    }
    fn encode(&self, out: &mut Encoder, _: &Field) {
        out.put_i16(self.0);
    }
    fn decode(input: &mut Decoder<'_>, _: &Field) -> Result<Self, Malformed> {
        input.i16().map(Self)
    }
    #[cfg(test)]
    fn sample(source: &mut super::tests::Source, _: i16, _: &Field) -> Self {
        Self(source.integer() as i16)
    }
    #[cfg(test)]
    fn describe(&self, _: i16) -> String {
        self.0.to_string()
    }
}

impl Wire for Uuid {
    fn initial() -> Self {
        Self::ZERO
    }
    fn encode(&self, out: &mut Encoder, _: &Field) {
        out.put_raw(&self.0);
    }
    fn decode(input: &mut Decoder<'_>, _: &Field) -> Result<Self, Malformed> {
        input.array().map(Self)
    }
    #[cfg(test)]
    fn sample(source: &mut super::tests::Source, _: i16, _: &Field) -> Self {
        Self(std::array::from_fn(|_| source.byte()))
    }
    #[cfg(test)]
    fn describe(&self, _: i16) -> String {
        super::tests::hex(&self.0)
    }
}

impl Wire for String {
    fn initial() -> Self {
        Self::new()
    }
    fn encode(&self, out: &mut Encoder, field: &Field) {
        out.put_string(Some(self), field);
    }
    fn decode(input: &mut Decoder<'_>, field: &Field) -> Result<Self, Malformed> {
        Self::decode_nullable(input, field)?.ok_or_else(Malformed::null)
    }
    #[cfg(test)]
    fn sample(source: &mut super::tests::Source, _: i16, _: &Field) -> Self {
        source.string()
    }
    #[cfg(test)]
    fn describe(&self, _: i16) -> String {
        format!("'{self}'")
    }
}

impl NullableWire for String {
    fn encode_null(out: &mut Encoder, field: &Field) {
        out.put_string(None, field);
    }
    fn decode_nullable(input: &mut Decoder<'_>, _: &Field) -> Result<Option<Self>, Malformed> {
        input.string()
    }
}

impl Wire for Bytes {
    fn initial() -> Self {
        Self::default()
    }
    fn encode(&self, out: &mut Encoder, field: &Field) {
        out.put_bytes(Some(self), field);
    }
    fn decode(input: &mut Decoder<'_>, field: &Field) -> Result<Self, Malformed> {
        Self::decode_nullable(input, field)?.ok_or_else(Malformed::null)
    }
    #[cfg(test)]
    fn sample(source: &mut super::tests::Source, _: i16, _: &Field) -> Self {
        source.bytes()
    }
    #[cfg(test)]
    fn describe(&self, _: i16) -> String {
        super::tests::hex(self)
    }
}

impl NullableWire for Bytes {
    fn encode_null(out: &mut Encoder, field: &Field) {
        out.put_bytes(None, field);
    }
    fn decode_nullable(input: &mut Decoder<'_>, _: &Field) -> Result<Option<Self>, Malformed> {
        input.bytes()
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn initial() -> Self {
        Self::new()
    }
    fn encode(&self, out: &mut Encoder, field: &Field) {
        out.put_length(Some(self.len()), field);
        for element in self {
            element.encode(out, field);
        }
    }
    fn decode(input: &mut Decoder<'_>, field: &Field) -> Result<Self, Malformed> {
        Self::decode_nullable(input, field)?.ok_or_else(Malformed::null)
    }
    #[cfg(test)]
    fn sample(source: &mut super::tests::Source, version: i16, field: &Field) -> Self {
        (0..source.count()).map(|_| T::sample(source, version, field)).collect()
    }
    #[cfg(test)]
    fn describe(&self, version: i16) -> String {
        format!("[{}]", self.iter().map(|element| element.describe(version)).collect::<Vec<_>>().join(","))
    }
}

impl<T: Wire> NullableWire for Vec<T> {
    fn encode_null(out: &mut Encoder, field: &Field) {
        out.put_length(None, field);
    }
    fn decode_nullable(input: &mut Decoder<'_>, field: &Field) -> Result<Option<Self>, Malformed> {
        let Some(count) = input.array_length()? else { return Ok(None) };
        // A count may lie within the frame's size: no more memory is reserved than the frame has bytes left, and the
        // vector grows beyond that only as elements are really there.
        let mut elements = Vec::with_capacity(count.min(input.remaining() / size_of::<T>().max(1)));
        for _ in 0..count {
            elements.push(T::decode(input, field)?);
        }
        Ok(Some(elements))
    }
}

/// A struct of a schema.
pub trait Struct: Wire {}

/// Where null is legal, a byte tells whether there is a struct; Kafka has it so for plain fields only, not for tagged ones.
impl<T: Struct> NullableWire for T {
    fn encode_null(out: &mut Encoder, _: &Field) {
        out.put_i8(-1);
    }
    fn encode_present(&self, out: &mut Encoder, field: &Field) {
        out.put_i8(1);
        self.encode(out, field);
    }
    fn decode_nullable(input: &mut Decoder<'_>, field: &Field) -> Result<Option<Self>, Malformed> {
        if input.i8()? < 0 { Ok(None) } else { Self::decode(input, field).map(Some) }
    }
}

impl<T: NullableWire> Wire for Option<T> {
    fn initial() -> Self {
        Some(T::initial())
    }
    fn encode(&self, out: &mut Encoder, field: &Field) {
        match self {
            Some(value) => value.encode_present(out, field),
            None => {
                let version = out.version();
                if !field.is_nullable(version) {
                    out.fail(|| format!("{field} is null, which version {version} does not allow"));
                }
                T::encode_null(out, field);
            }
        }
    }
    fn decode(input: &mut Decoder<'_>, field: &Field) -> Result<Self, Malformed> {
        let value = T::decode_nullable(input, field)?;
        if value.is_none() && !field.is_nullable(input.version()) { Err(Malformed::null()) } else { Ok(value) }
    }
    #[cfg(test)]
    fn sample(source: &mut super::tests::Source, version: i16, field: &Field) -> Self {
        if field.is_nullable(version) && source.byte() < 64 { None } else { Some(T::sample(source, version, field)) }
    }
    #[cfg(test)]
    fn describe(&self, version: i16) -> String {
        self.as_ref().map_or("null".to_owned(), |value| value.describe(version))
    }
}

#[cfg(test)]
impl Field {
    /// A value for a field of this version, its default where the version has none.
    pub(super) fn sample<T: Wire>(
        &self,
        source: &mut super::tests::Source,
        version: i16,
        default: impl FnOnce() -> T,
    ) -> T {
        if self.versions.contains(version) { T::sample(source, version, self) } else { default() }
    }

    /// `name=value` for a field of this version.
    pub(super) fn describe<T: Wire>(&self, value: &T, version: i16) -> Option<String> {
        let name = self.name.replace('_', "");
        self.versions.contains(version).then(|| format!("{name}={}", value.describe(version)))
    }

    pub(super) fn tag_number(&self) -> Option<u32> {
        self.tag
    }
}

/// The versions in `3+`, `0-7` or `1`.
macro_rules! versions {
    ($first:literal +) => {
        $crate::kafka::protocol::api::VersionRange::new($first, i16::MAX)
    };
    ($first:literal - $last:literal) => {
        $crate::kafka::protocol::api::VersionRange::new($first, $last)
    };
    ($only:literal) => {
        $crate::kafka::protocol::api::VersionRange::new($only, $only)
    };
}

/// A [`Field`] from what stands in a row's brackets.
macro_rules! field {
    ($message:ident $name:ident, $first:literal + $(, $($rest:tt)+)?) => {
        field!(@ field!(@ $message $name, $first +) $(, $($rest)+)?)
    };
    ($message:ident $name:ident, $first:literal - $last:literal $(, $($rest:tt)+)?) => {
        field!(@ field!(@ $message $name, $first - $last) $(, $($rest)+)?)
    };
    ($message:ident $name:ident, $only:literal $(, $($rest:tt)+)?) => {
        field!(@ field!(@ $message $name, $only) $(, $($rest)+)?)
    };
    (@ $message:ident $name:ident, $($versions:tt)+) => {
        Field::new(stringify!($message), stringify!($name), versions!($($versions)+))
    };
    (@ $field:expr) => {
        $field
    };
    (@ $field:expr, nullable $first:literal + $(, $($rest:tt)+)?) => {
        field!(@ $field.nullable(versions!($first +)) $(, $($rest)+)?)
    };
    (@ $field:expr, nullable $first:literal - $last:literal $(, $($rest:tt)+)?) => {
        field!(@ $field.nullable(versions!($first - $last)) $(, $($rest)+)?)
    };
    (@ $field:expr, tag $tag:literal $(, $($rest:tt)+)?) => {
        field!(@ $field.tag($tag) $(, $($rest)+)?)
    };
    (@ $field:expr, ignorable) => {
        $field.ignorable()
    };
}

/// A field's default.
macro_rules! default_of {
    ($type:ty) => {
        <$type as Wire>::initial()
    };
    ($type:ty, $default:expr) => {
        $default
    };
}

/// Structs from tables, and with an `api` line the [`Request`] and [`Response`] among them. See the module's head.
macro_rules! schema {
    (
        api $key:ident {
            $request:ident => $response:ident,
            versions $first:literal - $last:literal,
            client $client_first:literal - $client_last:literal,
            never flexible $(,)?
        }
        $($tables:tt)+
    ) => {
        schema! {
            api $key {
                $request => $response,
                versions $first - $last,
                client $client_first - $client_last,
                flexible 32767+
            }
            $($tables)+
        }
    };
    (
        api $key:ident {
            $request:ident => $response:ident,
            versions $first:literal - $last:literal,
            client $client_first:literal - $client_last:literal,
            flexible $flexible:literal + $(,)?
        }
        $($tables:tt)+
    ) => {
        impl $crate::kafka::protocol::schema::Request for $request {
            const KEY: $crate::kafka::protocol::api::ApiKey = $crate::kafka::protocol::api::ApiKey::$key;
            const VERSIONS: $crate::kafka::protocol::api::VersionRange = versions!($first - $last);
            const CLIENT_VERSIONS: $crate::kafka::protocol::api::VersionRange = versions!($client_first - $client_last);
            const FLEXIBLE: i16 = $flexible;
            type Response = $response;

            fn encode(&self, out: &mut Encoder, version: i16) {
                encode_body(self, out, version, versions!($first - $last), $flexible);
            }
            fn decode(input: &mut Decoder<'_>, version: i16) -> Result<Self, Malformed> {
                decode_body(input, version, versions!($first - $last), $flexible)
            }
        }

        impl $crate::kafka::protocol::schema::Response for $response {
            fn encode(&self, out: &mut Encoder, version: i16) {
                encode_body(self, out, version, versions!($first - $last), $flexible);
            }
            fn decode(input: &mut Decoder<'_>, version: i16) -> Result<Self, Malformed> {
                decode_body(input, version, versions!($first - $last), $flexible)
            }
        }

        schema! { $($tables)+ }
    };

    ($(
        $(#[$about:meta])*
        struct $name:ident {$(
            $(#[$field_about:meta])*
            $field:ident: $type:ty [$($in_brackets:tt)+] $(= $default:expr)?
        ),* $(,)?}
    )+) => {$(
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {$(
            $(#[$field_about])*
            #[doc = ""]
            #[doc = concat!("In Kafka's schema: `[", stringify!($($in_brackets)+), "]`.")]
            pub $field: $type,
        )*}

        impl Default for $name {
            fn default() -> Self {
                Self {$( $field: default_of!($type $(, $default)?), )*}
            }
        }

        impl Struct for $name {}

        impl Wire for $name {
            fn initial() -> Self {
                Self::default()
            }

            #[inline(never)]
            fn encode(&self, out: &mut Encoder, _: &Field) {
                $({
                    let field = const { &field!($name $field, $($in_brackets)+) };
                    field.encode_plain(out, &self.$field, || default_of!($type $(, $default)?));
                })*
                if out.is_flexible() {
                    let version = out.version();
                    let is_sent = [$( const { &field!($name $field, $($in_brackets)+) }
                        .is_sent_tagged(version, &self.$field, || default_of!($type $(, $default)?)), )*];
                    out.put_uvarint(is_sent.iter().map(|&sent| u32::from(sent)).sum());
                    let mut is_sent = is_sent.into_iter();
                    $( if is_sent.next() == Some(true) {
                        let field = const { &field!($name $field, $($in_brackets)+) };
                        field.encode_tagged(out, &self.$field);
                    } )*
                }
            }

            #[inline(never)]
            fn decode(input: &mut Decoder<'_>, _: &Field) -> Result<Self, Malformed> {
                let mut message = Self::default();
                $( const { &field!($name $field, $($in_brackets)+) }.decode_plain(input, &mut message.$field)?; )*
                if input.is_flexible() {
                    let _fields = const { &field!($name tagged_fields, 0+) };
                    input
                        .tagged_fields(|_input, _tag| {
                            Ok(false $(
                                || const { &field!($name $field, $($in_brackets)+) }
                                    .decode_tagged(_input, _tag, &mut message.$field)?
                            )*)
                        })
                        .map_err(|malformed| malformed.within(_fields))?;
                }
                Ok(message)
            }

            #[cfg(test)]
            fn sample(source: &mut $crate::kafka::protocol::tests::Source, version: i16, _: &Field) -> Self {
                Self {$(
                    $field: const { &field!($name $field, $($in_brackets)+) }
                        .sample(source, version, || default_of!($type $(, $default)?)),
                )*}
            }

            #[cfg(test)]
            fn describe(&self, version: i16) -> String {
                let mut fields = vec![$({
                    let field = const { &field!($name $field, $($in_brackets)+) };
                    (field.tag_number(), field.describe(&self.$field, version))
                }),*];
                let tags: Vec<_> = fields.iter().filter_map(|(tag, _)| *tag).collect();
                assert!(tags.is_sorted_by(|a, b| a < b), "tags out of order in {}", stringify!($name));
                fields.sort_by_key(|(tag, _)| *tag);
                format!("{{{}}}", fields.into_iter().filter_map(|(_, text)| text).collect::<Vec<_>>().join(" "))
            }
        }
    )+};
}

pub(super) use {default_of, field, schema, versions};

/// What every message file needs for its tables.
pub(super) mod prelude {
    pub(in crate::kafka::protocol) use super::{
        Field, Struct, Wire, decode_body, default_of, encode_body, field, schema, versions,
    };
    pub(in crate::kafka::protocol) use crate::kafka::protocol::decode::{Decoder, Malformed};
    pub(in crate::kafka::protocol) use crate::kafka::protocol::encode::Encoder;
    pub use crate::kafka::protocol::{Bytes, ErrorCode, Uuid};
}

const BODY: &Field = &Field::new("message", "body", VersionRange::new(0, i16::MAX));

/// Appends a whole message of a version in `known`.
pub(super) fn encode_body(message: &impl Wire, out: &mut Encoder, version: i16, known: VersionRange, flexible: i16) {
    if !known.contains(version) {
        out.fail(|| format!("version {version} is not among {known}"));
    }
    out.begin(version, version >= flexible);
    message.encode(out, BODY);
}

/// Reads a whole message of a version in `known`.
pub(super) fn decode_body<T: Wire>(
    input: &mut Decoder<'_>,
    version: i16,
    known: VersionRange,
    flexible: i16,
) -> Result<T, Malformed> {
    if !known.contains(version) {
        return Err(Malformed::version(version));
    }
    input.begin(version, version >= flexible);
    T::decode(input, BODY)
}

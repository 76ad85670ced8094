//! Translation between JSON with attachments and MessagePack as the npm adapters write it.
//!
//! Inside the server a value that may hold binary is Socket.IO's own form: JSON text in which each
//! buffer is `{"_placeholder":true,"num":N}`, and the buffers beside it. The npm adapters put buffers
//! inline in MessagePack (notepack.io 3 for the pub/sub adapters, @msgpack/msgpack 2.8 for streams). Both
//! read what is written here; what they write differently is read in every form:
//!
//! | value | written | also read |
//! |---|---|---|
//! | buffer | `bin` | `ext 0` (notepack's former ArrayBuffer) |
//! | `undefined` | `nil` | `fixext1 0` (notepack's former form) |
//! | `Date` | string, as in JSON | timestamp `ext -1`, `fixext8 0` (notepack's former form) |
//! | whole number | the shortest integer, beyond ±(2^53-1) `float 64` | every integer and float form |
//!
//! The JSON is translated as text, without a tree between: a broadcast costs one pass.

use std::fmt;

use bytes::Bytes;
use rmp::Marker;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// How deep values may nest, both ways; serde_json's own limit for JSON.
const MAX_DEPTH: usize = 128;
/// JavaScript's `Number.MAX_SAFE_INTEGER`.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Why bytes were refused.
#[derive(Debug, thiserror::Error)]
pub enum MsgpackError {
    /// The bytes end within a value.
    #[error("truncated at byte {0}")]
    Truncated(usize),
    /// Bytes follow the value.
    #[error("{0} bytes after the value")]
    Trailing(usize),
    /// Marker `0xc1`, which MessagePack does not define.
    #[error("undefined marker at byte {0}")]
    Undefined(usize),
    /// A map's key is an array, a map or a buffer: as text in JSON it would be quoted once more at each level, and
    /// grow without bound.
    #[error("a key that is no scalar at byte {0}")]
    Key(usize),
    /// Values are nested deeper than the limit.
    #[error("nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// The JSON is not valid, or names an attachment that is not there.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// JSON text with placeholders, and the buffers they stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// JSON text.
    pub json: String,
    /// The buffers, in the order of their numbers.
    pub attachments: Vec<Bytes>,
}

/// Writes JSON text as MessagePack, with `attachments` put in the place of their placeholders.
pub fn from_json(json: &str, attachments: &[Bytes]) -> Result<Vec<u8>, MsgpackError> {
    let size = json.len() + attachments.iter().map(|a| a.len() + 5).sum::<usize>();
    let mut writer =
        Writer { out: Vec::with_capacity(size), attachments: attachments.iter().map(Some).collect() };
    let mut reader = serde_json::Deserializer::from_str(json);
    Value(&mut writer).deserialize(&mut reader)?;
    reader.end()?;
    Ok(writer.out)
}

struct Writer<'a> {
    out: Vec<u8>,
    /// Each may be used once: a small text that names a large buffer many times must not grow into gigabytes.
    attachments: Vec<Option<&'a Bytes>>,
}

/// One JSON value on its way into the writer. Says whether it was `true`, or which small number it was: what
/// it takes to recognise a placeholder.
struct Value<'w, 'a>(&'w mut Writer<'a>);

#[derive(Clone, Copy, PartialEq)]
enum Seen {
    True,
    Number(u64),
    Other,
}

/// Writing into a `Vec` cannot fail; rmp's signature does not say so.
fn written<T, E: serde::de::Error>(result: Result<T, impl fmt::Debug>) -> Result<T, E> {
    result.map_err(|e| E::custom(format_args!("{e:?}")))
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = Seen;
    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Seen, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Seen, E> {
        written(rmp::encode::write_nil(&mut self.0.out))?;
        Ok(Seen::Other)
    }

    fn visit_bool<E: serde::de::Error>(self, v: bool) -> Result<Seen, E> {
        written(rmp::encode::write_bool(&mut self.0.out, v))?;
        Ok(if v { Seen::True } else { Seen::Other })
    }

    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Seen, E> {
        if v > MAX_SAFE_INTEGER {
            return self.visit_f64(v as f64);
        }
        written(rmp::encode::write_uint(&mut self.0.out, v))?;
        Ok(Seen::Number(v))
    }

    fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<Seen, E> {
        if v.unsigned_abs() > MAX_SAFE_INTEGER {
            return self.visit_f64(v as f64);
        }
        written(rmp::encode::write_sint(&mut self.0.out, v))?;
        Ok(Seen::Other)
    }

    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Seen, E> {
        // JavaScript has one kind of number: 1.0 is the integer 1.
        if v.fract() == 0.0 && v.abs() <= MAX_SAFE_INTEGER as f64 {
            written(rmp::encode::write_sint(&mut self.0.out, v as i64))?;
        } else {
            written(rmp::encode::write_f64(&mut self.0.out, v))?;
        }
        Ok(Seen::Other)
    }

    fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Seen, E> {
        written(rmp::encode::write_str(&mut self.0.out, v))?;
        Ok(Seen::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Seen, A::Error> {
        let start = self.0.out.len();
        self.0.out.push(0x90);
        let mut count = 0u32;
        while items.next_element_seed(Value(self.0))?.is_some() {
            count += 1;
        }
        set_length(&mut self.0.out, start, count, 0x90, 0xdc);
        Ok(Seen::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Seen, A::Error> {
        let start = self.0.out.len();
        self.0.out.push(0x80);
        let (mut count, mut marked, mut number) = (0u32, false, None);
        while let Some(key) = entries.next_key_seed(Key(self.0))? {
            let seen = entries.next_value_seed(Value(self.0))?;
            match (key, seen) {
                (KeyName::Placeholder, Seen::True) => marked = true,
                (KeyName::Num, Seen::Number(n)) => number = Some(n),
                _ => {}
            }
            count += 1;
        }
        if let (2, true, Some(n), false) = (count, marked, number, self.0.attachments.is_empty()) {
            let slot = usize::try_from(n).ok().and_then(|n| self.0.attachments.get_mut(n));
            let buffer = slot.and_then(Option::take);
            let buffer = buffer
                .ok_or_else(|| serde::de::Error::custom(format_args!("no attachment {n}, or used twice")))?;
            self.0.out.truncate(start);
            written::<_, A::Error>(rmp::encode::write_bin(&mut self.0.out, buffer))?;
        } else {
            set_length(&mut self.0.out, start, count, 0x80, 0xde);
        }
        Ok(Seen::Other)
    }
}

/// Sets the length of the array or map whose one-byte marker stands at `start`. Only containers of more
/// than 15 items need more room, and have what follows moved.
fn set_length(out: &mut Vec<u8>, start: usize, count: u32, short: u8, marker16: u8) {
    match (u8::try_from(count), u16::try_from(count)) {
        (Ok(n @ 0..=15), _) => out[start] = short | n,
        (_, Ok(n)) => {
            out[start] = marker16;
            out.splice(start + 1..start + 1, n.to_be_bytes());
        }
        _ => {
            out[start] = marker16 + 1;
            out.splice(start + 1..start + 1, count.to_be_bytes());
        }
    }
}

/// A map's key on its way into the writer.
struct Key<'w, 'a>(&'w mut Writer<'a>);

#[derive(PartialEq)]
enum KeyName {
    Placeholder,
    Num,
    Other,
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = KeyName;
    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<KeyName, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_> {
    type Value = KeyName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<KeyName, E> {
        written(rmp::encode::write_str(&mut self.0.out, key))?;
        Ok(match key {
            "_placeholder" => KeyName::Placeholder,
            "num" => KeyName::Num,
            _ => KeyName::Other,
        })
    }
}

/// Reads one MessagePack value as JSON text, with its buffers beside it (shared with `bytes`, not copied).
pub fn to_json(bytes: &Bytes) -> Result<Document, MsgpackError> {
    let mut reader = Reader { bytes, at: 0, document: Document::default() };
    reader.document.json.reserve(bytes.len() + bytes.len() / 4);
    reader.value(0)?;
    match bytes.len() - reader.at {
        0 => Ok(reader.document),
        rest => Err(MsgpackError::Trailing(rest)),
    }
}

struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
    document: Document,
}

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Result<&[u8], MsgpackError> {
        let slice = self.bytes.get(self.at..).and_then(|rest| rest.get(..length));
        let slice = slice.ok_or(MsgpackError::Truncated(self.at))?;
        self.at += length;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MsgpackError> {
        let at = self.at;
        self.take(N)?.try_into().map_err(|_| MsgpackError::Truncated(at))
    }

    /// A big-endian length of `N` bytes.
    fn length<const N: usize>(&mut self) -> Result<usize, MsgpackError> {
        Ok(self.array::<N>()?.iter().fold(0, |n, &byte| (n << 8) | usize::from(byte)))
    }

    fn value(&mut self, depth: usize) -> Result<(), MsgpackError> {
        if depth >= MAX_DEPTH {
            return Err(MsgpackError::TooDeep);
        }
        let at = self.at;
        match Marker::from_u8(self.take(1)?[0]) {
            Marker::Reserved => return Err(MsgpackError::Undefined(at)),
            Marker::Null => self.document.json.push_str("null"),
            Marker::True => self.document.json.push_str("true"),
            Marker::False => self.document.json.push_str("false"),
            Marker::FixPos(n) => self.number(n)?,
            Marker::FixNeg(n) => self.number(n)?,
            Marker::U8 => {
                let n = self.array()?;
                self.number(u8::from_be_bytes(n))?
            }
            Marker::U16 => {
                let n = self.array()?;
                self.number(u16::from_be_bytes(n))?
            }
            Marker::U32 => {
                let n = self.array()?;
                self.number(u32::from_be_bytes(n))?
            }
            Marker::U64 => {
                let n = self.array()?;
                self.number(u64::from_be_bytes(n))?
            }
            Marker::I8 => {
                let n = self.array()?;
                self.number(i8::from_be_bytes(n))?
            }
            Marker::I16 => {
                let n = self.array()?;
                self.number(i16::from_be_bytes(n))?
            }
            Marker::I32 => {
                let n = self.array()?;
                self.number(i32::from_be_bytes(n))?
            }
            Marker::I64 => {
                let n = self.array()?;
                self.number(i64::from_be_bytes(n))?
            }
            Marker::F32 => {
                let n = self.array()?;
                self.number(f64::from(f32::from_be_bytes(n)))?
            }
            Marker::F64 => {
                let n = self.array()?;
                self.number(f64::from_be_bytes(n))?
            }
            Marker::FixStr(n) => self.string(usize::from(n))?,
            Marker::Str8 => {
                let n = self.length::<1>()?;
                self.string(n)?
            }
            Marker::Str16 => {
                let n = self.length::<2>()?;
                self.string(n)?
            }
            Marker::Str32 => {
                let n = self.length::<4>()?;
                self.string(n)?
            }
            Marker::Bin8 => {
                let n = self.length::<1>()?;
                self.buffer(n)?
            }
            Marker::Bin16 => {
                let n = self.length::<2>()?;
                self.buffer(n)?
            }
            Marker::Bin32 => {
                let n = self.length::<4>()?;
                self.buffer(n)?
            }
            Marker::FixArray(n) => self.items(usize::from(n), depth)?,
            Marker::Array16 => {
                let n = self.length::<2>()?;
                self.items(n, depth)?
            }
            Marker::Array32 => {
                let n = self.length::<4>()?;
                self.items(n, depth)?
            }
            Marker::FixMap(n) => self.entries(usize::from(n), depth)?,
            Marker::Map16 => {
                let n = self.length::<2>()?;
                self.entries(n, depth)?
            }
            Marker::Map32 => {
                let n = self.length::<4>()?;
                self.entries(n, depth)?
            }
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => {
                let n = self.length::<1>()?;
                self.extension(n)?
            }
            Marker::Ext16 => {
                let n = self.length::<2>()?;
                self.extension(n)?
            }
            Marker::Ext32 => {
                let n = self.length::<4>()?;
                self.extension(n)?
            }
        }
        Ok(())
    }

    /// serde_json writes what is not finite as `null`, as `JSON.stringify` does.
    fn number(&mut self, n: impl serde::Serialize) -> Result<(), MsgpackError> {
        self.document.json.push_str(&serde_json::to_string(&n)?);
        Ok(())
    }

    fn string(&mut self, length: usize) -> Result<(), MsgpackError> {
        let quoted = serde_json::to_string(&String::from_utf8_lossy(self.take(length)?))?;
        self.document.json.push_str(&quoted);
        Ok(())
    }

    fn buffer(&mut self, length: usize) -> Result<(), MsgpackError> {
        let start = self.at;
        self.take(length)?;
        let placeholder = format!(r#"{{"_placeholder":true,"num":{}}}"#, self.document.attachments.len());
        self.document.json.push_str(&placeholder);
        self.document.attachments.push(self.bytes.slice(start..self.at));
        Ok(())
    }

    fn items(&mut self, count: usize, depth: usize) -> Result<(), MsgpackError> {
        self.document.json.push('[');
        for i in 0..count {
            if i > 0 {
                self.document.json.push(',');
            }
            self.value(depth + 1)?;
        }
        self.document.json.push(']');
        Ok(())
    }

    fn entries(&mut self, count: usize, depth: usize) -> Result<(), MsgpackError> {
        self.document.json.push('{');
        for i in 0..count {
            if i > 0 {
                self.document.json.push(',');
            }
            let (at, start) = (self.at, self.document.json.len());
            self.value(depth + 1)?;
            // JavaScript's keys are strings; another scalar that a peer wrote as one becomes its text.
            match self.document.json.as_bytes().get(start) {
                Some(b'"') => {}
                Some(b'{' | b'[') => return Err(MsgpackError::Key(at)),
                _ => {
                    let quoted = serde_json::to_string(&self.document.json[start..])?;
                    self.document.json.replace_range(start.., &quoted);
                }
            }
            self.document.json.push(':');
            self.value(depth + 1)?;
        }
        self.document.json.push('}');
        Ok(())
    }

    fn extension(&mut self, length: usize) -> Result<(), MsgpackError> {
        let [kind] = self.array()?;
        match (kind as i8, length) {
            (0, 1) => {
                self.take(1)?;
                self.document.json.push_str("null");
            }
            (0, 8) => {
                let millis = i64::from_be_bytes(self.array()?);
                self.date(jiff::Timestamp::from_millisecond(millis).ok())?;
            }
            (0, _) => self.buffer(length)?,
            (-1, 4) => {
                let seconds = u32::from_be_bytes(self.array()?);
                self.date(jiff::Timestamp::from_second(i64::from(seconds)).ok())?;
            }
            (-1, 8) => {
                let both = u64::from_be_bytes(self.array()?);
                let (seconds, nanos) = ((both & 0x3_ffff_ffff) as i64, (both >> 34) as i32);
                self.date(jiff::Timestamp::new(seconds, nanos).ok())?;
            }
            (-1, 12) => {
                let nanos = u32::from_be_bytes(self.array()?);
                let seconds = i64::from_be_bytes(self.array()?);
                let nanos = i32::try_from(nanos).ok();
                self.date(nanos.and_then(|n| jiff::Timestamp::new(seconds, n).ok()))?;
            }
            (kind, _) => {
                self.document.json.push_str(&format!("[{kind},"));
                self.buffer(length)?;
                self.document.json.push(']');
            }
        }
        Ok(())
    }

    /// A date as `Date.prototype.toJSON` has it: in UTC with milliseconds, `null` where there is none.
    fn date(&mut self, date: Option<jiff::Timestamp>) -> Result<(), MsgpackError> {
        match date {
            Some(date) => self.document.json.push_str(&format!("\"{date:.3}\"")),
            None => self.document.json.push_str("null"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json_of(bytes: &[u8]) -> Result<Document, MsgpackError> {
        to_json(&Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn numbers_take_javascript_s_form() {
        for (json, bytes) in [
            ("0", &[0x00][..]),
            ("1.0", &[0x01]),
            ("-1", &[0xff]),
            ("-32", &[0xe0]),
            ("-33", &[0xd0, 0xdf]),
            ("255", &[0xcc, 0xff]),
            ("65536", &[0xce, 0, 1, 0, 0]),
            ("1e3", &[0xcd, 0x03, 0xe8]),
            ("0.5", &[0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0]),
            ("9007199254740991", &[0xcf, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            ("9007199254740992", &[0xcb, 0x43, 0x40, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(from_json(json, &[]).unwrap(), bytes, "{json}");
        }
    }

    #[test]
    fn notepack_s_former_extensions_are_read() {
        for (bytes, json, attachments) in [
            (&[0xd4, 0, 0][..], "null", 0),
            (&[0xd7, 0, 0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x7b], "\"2023-11-14T22:13:20.123Z\"", 0),
            (&[0xd6, 0xff, 0x65, 0x53, 0xf1, 0x00], "\"2023-11-14T22:13:20.000Z\"", 0),
            (&[0xc7, 2, 0, 1, 2], r#"{"_placeholder":true,"num":0}"#, 1),
            (&[0xd5, 7, 1, 2], r#"[7,{"_placeholder":true,"num":0}]"#, 1),
        ] {
            let document = json_of(bytes).unwrap();
            assert_eq!((document.json.as_str(), document.attachments.len()), (json, attachments));
        }
    }

    #[test]
    fn an_attachment_serves_once() {
        let (json, buffer) =
            (r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#, Bytes::from_static(b"x"));
        assert!(from_json(json, &[buffer]).is_err());
        assert!(from_json(r#"[{"_placeholder":true,"num":1}]"#, &[Bytes::new()]).is_err());
    }

    #[test]
    fn long_containers_have_long_lengths() {
        for count in [15, 16, 65_535, 65_536] {
            let json = format!("[{}]", vec!["1"; count].join(","));
            assert_eq!(json_of(&from_json(&json, &[]).unwrap()).unwrap().json, json);
        }
    }

    #[test]
    fn depth_is_bounded() {
        assert!(matches!(json_of(&[0x91; 100_000]), Err(MsgpackError::TooDeep)));
        assert!(from_json(&"[".repeat(100_000), &[]).is_err());
    }

    #[test]
    fn numbers_keep_their_last_bit() {
        for json in ["1.846333e+37", "0.1", "2.2250738585072014e-308", "123456.78901234567"] {
            assert_eq!(json_of(&from_json(json, &[]).unwrap()).unwrap().json, json);
        }
        assert_eq!(json_of(&[0xca, 0x3d, 0xcc, 0xcc, 0xcd]).unwrap().json, "0.10000000149011612");
    }

    #[test]
    fn a_key_is_a_scalar() {
        assert_eq!(json_of(&[0x81, 0x07, 0xc0]).unwrap().json, r#"{"7":null}"#);
        // Each level quotes the one within: 60 bytes would become 2^60.
        let nested = [vec![0x81; 60], vec![0xa0; 61]].concat();
        assert!(matches!(json_of(&nested), Err(MsgpackError::Key(_))));
    }

    fn json_value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            (-9_007_199_254_740_991i64..=9_007_199_254_740_991).prop_map(Into::into),
            any::<i32>().prop_map(|n| (f64::from(n) + 0.5).into()),
            ".*".prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 64, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(Into::into),
                prop::collection::vec((".*", inner), 0..20)
                    .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_survives(value in json_value()) {
            let document = json_of(&from_json(&value.to_string(), &[]).unwrap()).unwrap();
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&document.json).unwrap(), value);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(document) = json_of(&bytes) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&document.json).is_ok());
                prop_assert!(document.json.len() <= bytes.len() * 40 + 8);
            }
        }
    }
}

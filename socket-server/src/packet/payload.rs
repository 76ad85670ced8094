//! The data of a packet as it travels.

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use serde::{Deserialize, Serialize, ser::Error as _};
use serde_json::Value;
use serde_json::value::RawValue;

use super::binary;

/// Bytes that an offset adds to a payload beside its own: a comma and quotes.
pub(crate) const OFFSET_FRAME: usize = 3;

/// Arguments that cannot be written as, or read from, JSON.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The value does not serialise to JSON, or the JSON does not fit the type asked for.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// There is no argument at this index.
    #[error("there is no argument {0}")]
    Missing(usize),
}

/// The data of a packet: JSON text in which binary values are placeholders, and their bytes.
///
/// For an event it is the array `[name, ...arguments]`, for an ack the array of its arguments, for `CONNECT` and
/// `CONNECT_ERROR` an object. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    json: ByteString,
    attachments: Vec<Bytes>,
}

impl Payload {
    /// An event's payload. Fails when an argument does not serialise.
    pub fn event(name: &str, args: impl Args) -> Result<Self, PayloadError> {
        Self::array(Some(name), args)
    }

    /// An ack's payload. Fails when an argument does not serialise.
    pub fn ack(args: impl Args) -> Result<Self, PayloadError> {
        Self::array(None, args)
    }

    /// Any one value, for `CONNECT` and `CONNECT_ERROR`.
    pub fn value(value: &impl Serialize) -> Result<Self, PayloadError> {
        let (json, attachments) = binary::collect(|| serde_json::to_string(value));
        Ok(Self { json: json?.into(), attachments })
    }

    /// From JSON text that is known to be valid (parsed, or written by a JSON serialiser) and the attachments
    /// that its placeholders number.
    pub fn from_parts(json: ByteString, attachments: Vec<Bytes>) -> Self {
        Self { json, attachments }
    }

    fn array(name: Option<&str>, args: impl Args) -> Result<Self, PayloadError> {
        let mut json = Vec::with_capacity(128);
        json.push(b'[');
        if let Some(name) = name {
            serde_json::to_writer(&mut json, name)?;
        }
        let (written, attachments) = binary::collect(|| args.write(&mut json));
        written?;
        json.push(b']');
        let json = ByteString::try_from(json).map_err(serde_json::Error::custom);
        Ok(Self { json: json?, attachments })
    }

    /// The JSON text.
    pub fn json(&self) -> &ByteString {
        &self.json
    }

    /// The bytes that the placeholders stand for, by number.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// Whether the packet needs the binary types 5 and 6 on the wire.
    pub fn is_binary(&self) -> bool {
        !self.attachments.is_empty()
    }

    /// Bytes that this payload holds, for limits.
    pub fn len(&self) -> usize {
        self.json.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.json.is_empty()
    }

    /// Reads the whole payload as one value; an array as a tuple or `Vec`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, PayloadError> {
        Ok(binary::provide(&self.attachments, || serde_json::from_str(&self.json))?)
    }

    /// Reads element `index` of the array as `T`.
    pub fn get<'a, T: Deserialize<'a>>(&'a self, index: usize) -> Result<T, PayloadError> {
        let items: Vec<&'a RawValue> = serde_json::from_str(&self.json)?;
        let item = items.get(index).ok_or(PayloadError::Missing(index))?;
        Ok(binary::provide(&self.attachments, || serde_json::from_str(item.get()))?)
    }

    /// The array's elements from `index` on, to be sent on untouched.
    pub fn rest(&self, index: usize) -> Result<RawArgs, PayloadError> {
        if index == 1
            && let Some(elements) = after_name(&self.json)
        {
            let elements = self.json.slice_ref(elements);
            return Ok(RawArgs { elements, attachments: self.attachments.clone() });
        }
        let items: Vec<&RawValue> = serde_json::from_str(&self.json)?;
        let elements = match items.get(index) {
            None => ByteString::new(),
            Some(first) => {
                let start = first.get().as_ptr() as usize - self.json.as_ptr() as usize;
                let end = self.json.trim_end().len() - 1;
                self.json.slice_ref(&self.json[start..end])
            }
        };
        Ok(RawArgs { elements, attachments: self.attachments.clone() })
    }

    /// The same array with one more string at its end: how an event carries its offset.
    pub fn with_offset(&self, offset: &str) -> Self {
        self.with_offset_in(&mut BytesMut::new(), offset)
    }

    /// The same, written into a buffer whose memory it shares with what else was written there.
    pub fn with_offset_in(&self, buffer: &mut BytesMut, offset: &str) -> Self {
        let open = self.json.trim_end();
        let open = open.strip_suffix(']').unwrap_or(open);
        buffer.reserve(open.len() + offset.len() + OFFSET_FRAME);
        buffer.put_slice(open.as_bytes());
        if open.trim_end() != "[" {
            buffer.put_u8(b',');
        }
        // Offsets are made by servers of this fleet, from characters that JSON does not escape; one that came
        // over Redis from elsewhere is written as what it is.
        if offset.bytes().all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\')) {
            buffer.put_u8(b'"');
            buffer.put_slice(offset.as_bytes());
            buffer.put_u8(b'"');
        } else {
            buffer.put_slice(Value::from(offset).to_string().as_bytes());
        }
        buffer.put_u8(b']');
        let json = buffer.split().freeze();
        // SAFETY: the bytes are those of strings, each whole.
        let json = unsafe { ByteString::from_bytes_unchecked(json) };
        Self { json, attachments: self.attachments.clone() }
    }
}

/// The elements behind an event's name, where that has no escapes: the text has been parsed once already.
fn after_name(json: &str) -> Option<&str> {
    let name = json.strip_prefix("[\"")?;
    let end = name.find(['"', '\\'])?;
    let after = name[end..].strip_prefix('"')?.trim_start().strip_prefix(',')?;
    after.trim().strip_suffix(']')
}

/// The arguments of an event or ack: a tuple of up to six values, each of its own type, as `(a, b)` for
/// `emit("event", a, b)` in JavaScript.
///
/// A tuple of one is written `(a,)`. What came in as another event's arguments goes out again untouched with
/// [`RawArgs`].
pub trait Args {
    /// Appends each argument to a JSON array that may already hold elements.
    #[doc(hidden)]
    fn write(&self, json: &mut Vec<u8>) -> Result<(), serde_json::Error>;
}

/// Appends one element to a JSON array that is being written.
pub(crate) fn write_element(
    json: &mut Vec<u8>,
    value: &(impl Serialize + ?Sized),
) -> Result<(), serde_json::Error> {
    if json.last() != Some(&b'[') {
        json.push(b',');
    }
    serde_json::to_writer(json, value)
}

/// Arguments passed on as they came: [`Payload::rest`].
#[derive(Clone, Debug)]
pub struct RawArgs {
    elements: ByteString,
    attachments: Vec<Bytes>,
}

impl Args for RawArgs {
    fn write(&self, json: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        if self.elements.is_empty() {
            return Ok(());
        }
        if json.last() != Some(&b'[') {
            json.push(b',');
        }
        json.extend_from_slice(self.elements.as_bytes());
        binary::attach(&self.attachments);
        Ok(())
    }
}

macro_rules! args_of_tuple {
    ($($name:ident),*) => {
        impl<$($name: Serialize),*> Args for ($($name,)*) {
            #[allow(non_snake_case, unused_variables)]
            fn write(&self, json: &mut Vec<u8>) -> Result<(), serde_json::Error> {
                let ($($name,)*) = self;
                $(write_element(json, $name)?;)*
                Ok(())
            }
        }
    };
}

args_of_tuple!();
args_of_tuple!(A);
args_of_tuple!(A, B);
args_of_tuple!(A, B, C);
args_of_tuple!(A, B, C, D);
args_of_tuple!(A, B, C, D, E);
args_of_tuple!(A, B, C, D, E, F);

#[cfg(test)]
mod tests {
    use super::super::Binary;
    use super::*;

    #[test]
    fn arguments_are_written_as_one_array() {
        let payload = Payload::event("say \"hi\"", (1, "two", [3, 4])).unwrap();
        assert_eq!(payload.json(), r#"["say \"hi\"",1,"two",[3,4]]"#);
        assert_eq!(Payload::ack(()).unwrap().json(), "[]");
        assert_eq!(Payload::ack((true,)).unwrap().json(), "[true]");
    }

    #[test]
    fn bytes_travel_beside_the_text() {
        #[derive(Serialize, Deserialize, PartialEq, Debug)]
        struct File {
            name: String,
            body: Binary,
        }
        let file = File { name: "a".into(), body: Binary::from(vec![1, 2]) };
        let payload = Payload::event("file", (&file, Binary::from(vec![3]))).unwrap();
        let expected =
            r#"["file",{"name":"a","body":{"_placeholder":true,"num":0}},{"_placeholder":true,"num":1}]"#;
        assert_eq!(payload.json(), expected);
        assert_eq!(payload.attachments(), [Bytes::from(vec![1, 2]), Bytes::from(vec![3])]);
        assert_eq!(payload.get::<File>(1).unwrap(), file);
        assert_eq!(payload.get::<Binary>(2).unwrap(), Binary::from(vec![3]));
        assert!(payload.get::<Binary>(3).is_err());
    }

    #[test]
    fn a_placeholder_without_its_bytes_is_an_error() {
        let payload = Payload::from_parts(r#"["e",{"_placeholder":true,"num":9}]"#.into(), vec![]);
        assert!(payload.get::<Binary>(1).is_err());
    }

    #[test]
    fn arguments_are_passed_on_untouched() {
        let payload = Payload::from_parts(r#"[ "e" , 1.0, {"a" : "\ud800"} ] "#.into(), vec![]);
        let passed = Payload::event("f", payload.rest(1).unwrap()).unwrap();
        assert_eq!(passed.json(), r#"["f",1.0, {"a" : "\ud800"} ]"#);
        assert_eq!(Payload::ack(payload.rest(3).unwrap()).unwrap().json(), "[]");
        for (json, args) in [
            (r#"["e",1,"]"]"#, r#"[1,"]"]"#),
            (r#"["e" , [ 1 ] ] "#, "[[ 1 ] ]"),
            (r#"["e"]"#, "[]"),
            (r#"["e" ]"#, "[]"),
            (r#"["a\"b",2]"#, "[2]"),
            (r#"[7,2]"#, "[2]"),
        ] {
            let payload = Payload::from_parts(json.into(), vec![]);
            assert_eq!(Payload::ack(payload.rest(1).unwrap()).unwrap().json(), args, "{json}");
        }

        let binary = Payload::event("e", (Binary::from(vec![7]),)).unwrap();
        assert_eq!(Payload::event("e", binary.rest(1).unwrap()).unwrap(), binary);
    }

    #[test]
    fn the_offset_comes_last() {
        assert_eq!(Payload::event("e", (1,)).unwrap().with_offset("x-1").json(), r#"["e",1,"x-1"]"#);
        assert_eq!(Payload::ack(()).unwrap().with_offset("o").json(), r#"["o"]"#);
        assert_eq!(Payload::ack(()).unwrap().with_offset("\"\\\n").json(), r#"["\"\\\n"]"#);
    }
}

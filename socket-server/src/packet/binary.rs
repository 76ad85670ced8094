//! Binary values inside of JSON arguments.
//!
//! JSON has no bytes: Socket.IO sends `{"_placeholder":true,"num":N}` in their place and the bytes as N-th
//! attachment. [`Binary`] does that at any depth of a `Serialize` or `Deserialize` type: the attachments of the
//! payload that is being written or read wait in a thread local for the length of the call.

use std::cell::RefCell;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser, ser::SerializeStruct};

thread_local! {
    static ATTACHMENTS: RefCell<Option<Vec<Bytes>>> = const { RefCell::new(None) };
}

/// Bytes as an argument of an event, or anywhere inside of one (a `Buffer` or `ArrayBuffer` in JavaScript).
///
/// It can be serialised and deserialised as part of a [`Payload`](super::Payload) alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binary(pub Bytes);

impl<T: Into<Bytes>> From<T> for Binary {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}

#[derive(Deserialize)]
struct Placeholder {
    #[serde(rename = "_placeholder")]
    placeholder: bool,
    num: usize,
}

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let num = ATTACHMENTS.with_borrow_mut(|slot| {
            let attachments = slot.as_mut()?;
            attachments.push(self.0.clone());
            Some(attachments.len() - 1)
        });
        let num = num.ok_or_else(|| ser::Error::custom("Binary can only be written as part of a Payload"))?;
        let mut placeholder = serializer.serialize_struct("Placeholder", 2)?;
        placeholder.serialize_field("_placeholder", &true)?;
        placeholder.serialize_field("num", &num)?;
        placeholder.end()
    }
}

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Placeholder { placeholder, num } = Placeholder::deserialize(deserializer)?;
        ATTACHMENTS
            .with_borrow(|slot| slot.as_ref().filter(|_| placeholder).and_then(|a| a.get(num).cloned()))
            .map(Self)
            .ok_or_else(|| de::Error::custom("not a binary attachment"))
    }
}

/// Puts what was there before back in its place, also when the call in between panics.
struct Restore(Option<Vec<Bytes>>);

impl Drop for Restore {
    fn drop(&mut self) {
        ATTACHMENTS.set(self.0.take());
    }
}

/// Runs `write` and returns the bytes of every [`Binary`] that it serialised, in order.
pub(super) fn collect<T>(write: impl FnOnce() -> T) -> (T, Vec<Bytes>) {
    let _restore = Restore(ATTACHMENTS.replace(Some(Vec::new())));
    let written = write();
    (written, ATTACHMENTS.take().unwrap_or_default())
}

/// Adds bytes whose placeholders are written already.
pub(super) fn attach(bytes: &[Bytes]) {
    ATTACHMENTS
        .with_borrow_mut(|slot| slot.iter_mut().for_each(|attachments| attachments.extend_from_slice(bytes)));
}

/// Runs `read`, in which each [`Binary`] finds its bytes among `attachments`.
pub(super) fn provide<T>(attachments: &[Bytes], read: impl FnOnce() -> T) -> T {
    let _restore = Restore(ATTACHMENTS.replace(Some(attachments.to_vec())));
    read()
}

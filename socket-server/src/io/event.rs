//! An event as a handler gets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use bytestring::ByteString;
use serde::Deserialize;

use super::socket::SocketInner;
use crate::packet::{Args, Packet, PacketType, Payload, PayloadError, RawArgs};

/// An event that a client has sent. Arguments are read by index, the first is 0.
pub struct Event {
    payload: Payload,
    name: ByteString,
    ack: Option<PendingAnswer>,
}

/// An answer that the client waits for.
struct PendingAnswer {
    socket: Arc<SocketInner>,
    id: u64,
    given: AtomicBool,
}

impl PendingAnswer {
    fn new(socket: &Arc<SocketInner>, id: u64) -> Option<Self> {
        let owed = socket.owe_answer();
        owed.then(|| Self { socket: Arc::clone(socket), id, given: AtomicBool::new(false) })
    }
}

impl Drop for PendingAnswer {
    fn drop(&mut self) {
        if !*self.given.get_mut() {
            self.socket.answered();
        }
    }
}

impl Event {
    /// `None`: the name is a number, which no handler is registered for, or the answer that it wants cannot be
    /// given any more.
    pub(super) fn new(socket: &Arc<SocketInner>, id: Option<u64>, payload: Payload) -> Option<Self> {
        let name = event_name(&payload)?;
        let ack = match id {
            None => None,
            Some(id) => Some(PendingAnswer::new(socket, id)?),
        };
        Some(Self { payload, name, ack })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole payload, `[name, ...arguments]`.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Argument `index` as `T`.
    pub fn get<'a, T: Deserialize<'a>>(&'a self, index: usize) -> Result<T, PayloadError> {
        self.payload.get(index + 1)
    }

    /// All arguments, to be sent on untouched.
    pub fn args(&self) -> Result<RawArgs, PayloadError> {
        self.payload.rest(1)
    }

    /// The binary attachments, in the order of their placeholders.
    pub fn attachments(&self) -> &[Bytes] {
        self.payload.attachments()
    }

    /// Whether the client waits for an answer.
    pub fn wants_ack(&self) -> bool {
        self.ack.is_some()
    }

    /// Answers the client, if it waits. Only the first answer counts.
    ///
    /// # Errors
    /// When an argument does not serialise.
    pub fn ack(&self, args: impl Args) -> Result<(), PayloadError> {
        let Some(answer) = &self.ack else { return Ok(()) };
        let data = Payload::ack(args)?;
        if !answer.given.swap(true, Ordering::Relaxed) {
            let packet = Packet {
                kind: PacketType::Ack,
                nsp: answer.socket.nsp.name().clone(),
                id: Some(answer.id),
                data: Some(data),
            };
            answer.socket.send(&packet, false);
            answer.socket.answered();
        }
        Ok(())
    }
}

/// The first element of an event's array, when it is a string.
pub(super) fn event_name(payload: &Payload) -> Option<ByteString> {
    let json = payload.json();
    // Names have escapes very rarely: the text itself is the name then.
    if let Some(rest) = json.strip_prefix("[\"")
        && let Some(end) = rest.find(['"', '\\'])
        && rest.as_bytes()[end] == b'"'
    {
        return Some(json.slice_ref(&rest[..end]));
    }
    payload.get::<String>(0).ok().map(ByteString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_read_with_and_without_escapes() {
        let name = |json: &str| event_name(&Payload::from_parts(json.into(), vec![]));
        assert_eq!(name(r#"["hello",1]"#).as_deref(), Some("hello"));
        assert_eq!(name(r#"["say \"hi\""]"#).as_deref(), Some("say \"hi\""));
        assert_eq!(name(r#"[ "spaced"]"#).as_deref(), Some("spaced"));
        assert_eq!(name(r#"[""]"#).as_deref(), Some(""));
        assert_eq!(name("[7]"), None);
    }
}

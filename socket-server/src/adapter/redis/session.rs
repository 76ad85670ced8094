//! Sessions of connection state recovery, as the streams adapter stores them: base64 of MessagePack.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::{MessageError, json};
use super::msgpack::{self, Document};

/// What a client comes back to.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The socket's id, which it keeps.
    pub sid: String,
    /// The secret by which the client names its session.
    pub pid: String,
    /// The rooms the socket is in.
    pub rooms: Vec<String>,
    /// The socket's `data`, as JSON with placeholders for `attachments`.
    pub data: String,
    /// The buffers in `data`.
    pub attachments: Vec<Bytes>,
    /// Position in the stream from which the session counts: all that came later is owed to a client that
    /// names no offset because it has had no event yet. Node does not write it and passes over it.
    pub since: Option<String>,
    /// Name of the server that has moved the client away in a drain, and when, Unix milliseconds. Node passes over it.
    pub goodbye: Option<(String, u64)>,
}

impl Session {
    /// The value of the session's key.
    pub fn encode(&self) -> Result<String, MessageError> {
        let Self { sid, pid, rooms, data, attachments, since, goodbye } = self;
        let (sid, pid, rooms) = (json(sid), json(pid), json(rooms));
        let mut text = format!(r#"{{"sid":{sid},"pid":{pid},"rooms":{rooms},"data":{data}"#);
        if let Some(since) = since {
            text.push_str(&format!(r#","since":{}"#, json(since)));
        }
        if let Some((from, at)) = goodbye {
            text.push_str(&format!(r#","movedFrom":{},"movedAt":{at}"#, json(from)));
        }
        text.push('}');
        Ok(BASE64.encode(msgpack::from_json(&text, attachments)?))
    }

    /// Reads the value of a session's key.
    pub fn decode(value: &[u8]) -> Result<Self, MessageError> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            sid: String,
            pid: String,
            rooms: Vec<String>,
            #[serde(borrow, default)]
            data: Option<&'a RawValue>,
            #[serde(default)]
            since: Option<String>,
            #[serde(default, rename = "movedFrom")]
            moved_from: Option<String>,
            #[serde(default, rename = "movedAt")]
            moved_at: u64,
        }
        let Document { json, attachments } = msgpack::to_json(&BASE64.decode(value)?.into())?;
        let Fields { sid, pid, rooms, data, since, moved_from, moved_at } = serde_json::from_str(&json)?;
        let data = data.map_or("null", RawValue::get).to_owned();
        let goodbye = moved_from.map(|from| (from, moved_at));
        Ok(Self { sid, pid, rooms, data, attachments, since, goodbye })
    }
}

#[cfg(test)]
mod tests {
    use super::super::vectors;
    use super::*;

    #[test]
    fn node_s_session_is_read_and_written_again() {
        let value = vectors::of("streams").find_map(|v| v.value).unwrap();
        let session = Session::decode(value.as_bytes()).unwrap();
        assert_eq!(session.rooms, [session.sid.as_str(), "room1", "room2"]);
        assert_eq!((session.data.as_str(), &session.since), (r#"{"name":"ünï"}"#, &None));
        assert_eq!(session.encode().unwrap(), value);
    }

    #[test]
    fn a_session_keeps_its_start_and_its_buffers() {
        let session = Session {
            sid: "s".into(),
            pid: "p".into(),
            rooms: vec![],
            data: r#"{"key":{"_placeholder":true,"num":0}}"#.into(),
            attachments: vec![Bytes::from_static(b"\x00\xff")],
            since: Some("17-0".into()),
            goodbye: Some(("chat-a".into(), 1_767_225_600_000)),
        };
        assert_eq!(Session::decode(session.encode().unwrap().as_bytes()).unwrap(), session);
    }
}

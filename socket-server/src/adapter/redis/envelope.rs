//! How a [`Message`] travels: as an entry of a stream, or whole in a pub/sub payload.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::{Message, MessageError, json};
use super::msgpack::{self, Document};

/// A message from another server, and which one it was. Its texts lie in here until
/// [`message`](Self::message) takes them apart.
#[derive(Debug)]
pub struct Envelope {
    /// The sender's id within the namespace.
    pub uid: String,
    /// The namespace, with its slash.
    pub nsp: String,
    kind: u8,
    data: Option<String>,
    /// The buffers that the placeholders in the message's texts stand for.
    pub attachments: Vec<Bytes>,
}

impl Envelope {
    /// The message itself.
    pub fn message(&self) -> Result<Message<'_>, MessageError> {
        Message::parse(self.kind, self.data.as_deref())
    }
}

/// The `data` field of a stream's entry: JSON, or base64 of MessagePack where there is binary.
pub fn stream_data(message: &Message<'_>, attachments: &[Bytes]) -> Result<Option<String>, MessageError> {
    match message.data() {
        Some(data) if !attachments.is_empty() => {
            Ok(Some(BASE64.encode(msgpack::from_json(&data, attachments)?)))
        }
        data => Ok(data),
    }
}

/// Reads the fields of a stream's entry.
pub fn from_stream(uid: &str, nsp: &str, kind: &str, data: Option<&str>) -> Result<Envelope, MessageError> {
    let kind = kind.parse().map_err(|_| MessageError::NoField("type"))?;
    let document = match data {
        None | Some("") => None,
        Some(data) if data.starts_with('{') => {
            Some(Document { json: data.to_owned(), attachments: Vec::new() })
        }
        Some(data) => Some(msgpack::to_json(&BASE64.decode(data)?.into())?),
    };
    let (data, attachments) = document.map(|d| (d.json, d.attachments)).unzip();
    Ok(Envelope {
        uid: uid.into(),
        nsp: nsp.into(),
        kind,
        data,
        attachments: attachments.unwrap_or_default(),
    })
}

/// A whole message as JSON, its keys in Node's order.
fn whole(uid: &str, nsp: &str, message: &Message<'_>) -> String {
    let (kind, uid, nsp) = (message.kind(), json(uid), json(nsp));
    match message.data() {
        Some(data) => format!(r#"{{"type":{kind},"data":{data},"uid":{uid},"nsp":{nsp}}}"#),
        None => format!(r#"{{"type":{kind},"uid":{uid},"nsp":{nsp}}}"#),
    }
}

/// The payload in which the sharded adapter publishes: MessagePack where there is binary, else JSON.
pub fn sharded(
    uid: &str,
    nsp: &str,
    message: &Message<'_>,
    attachments: &[Bytes],
) -> Result<Vec<u8>, MessageError> {
    let json = whole(uid, nsp, message);
    match attachments {
        [] => Ok(json.into_bytes()),
        _ => Ok(msgpack::from_json(&json, attachments)?),
    }
}

/// The payload in which the streams adapter publishes what needs no storing: MessagePack always.
pub fn ephemeral(
    uid: &str,
    nsp: &str,
    message: &Message<'_>,
    attachments: &[Bytes],
) -> Result<Vec<u8>, MessageError> {
    Ok(msgpack::from_json(&whole(uid, nsp, message), attachments)?)
}

/// Reads either payload.
pub fn from_pubsub(payload: &Bytes) -> Result<Envelope, MessageError> {
    #[derive(Deserialize)]
    struct Whole<'a> {
        uid: String,
        nsp: String,
        #[serde(rename = "type")]
        kind: u8,
        #[serde(borrow, default)]
        data: Option<&'a RawValue>,
    }
    let read = |json: &str, attachments| {
        let Whole { uid, nsp, kind, data } = serde_json::from_str(json)?;
        Ok(Envelope { uid, nsp, kind, data: data.map(|d| d.get().to_owned()), attachments })
    };
    match std::str::from_utf8(payload) {
        Ok(text) if text.starts_with('{') => read(text, Vec::new()),
        _ => {
            let Document { json, attachments } = msgpack::to_json(payload)?;
            read(&json, attachments)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::vectors::{self, Vector};
    use super::*;

    /// What Node wrote is read, and what is written from what was read is Node's, byte for byte.
    #[test]
    fn node_s_stream_entries_are_read_and_written_again() {
        let mut seen = 0;
        for Vector { step, fields, .. } in vectors::of("streams") {
            let Some(fields) = fields else { continue };
            let data = fields.get("data").map(String::as_str);
            let envelope = from_stream(&fields["uid"], &fields["nsp"], &fields["type"], data).expect(&step);
            let message = envelope.message().expect(&step);
            assert_eq!(message.kind().to_string(), fields["type"]);
            let again = stream_data(&message, &envelope.attachments).expect(&step);
            match step.as_str() {
                // There is no Date in JSON: it is passed on as the text that every client gets.
                "broadcast undefined and date" => {
                    let Message::Broadcast { data, .. } = message else { panic!("not a broadcast") };
                    assert_eq!(data, r#"["hello",null,"2023-11-14T22:13:20.123Z",{}]"#);
                }
                _ => assert_eq!(again.as_deref(), data, "{step}"),
            }
            seen += 1;
        }
        assert_eq!(seen, 9);
    }

    #[test]
    fn node_s_cluster_messages_are_read_and_written_again() {
        type Write = fn(&str, &str, &Message<'_>, &[Bytes]) -> Result<Vec<u8>, MessageError>;
        for (adapter, write) in [("sharded", sharded as Write), ("streams", ephemeral)] {
            let mut seen = 0;
            for Vector { step, payload, .. } in vectors::of(adapter) {
                let Some(payload) = payload else { continue };
                let envelope = from_pubsub(&payload.clone().into()).expect(&step);
                let message = envelope.message().expect(&step);
                if step != "broadcast undefined and date" {
                    let again =
                        write(&envelope.uid, &envelope.nsp, &message, &envelope.attachments).expect(&step);
                    assert_eq!(again, payload, "{adapter}: {step}");
                }
                seen += 1;
            }
            assert!(seen > 8, "{adapter}: {seen}");
        }
    }

    #[test]
    fn binary_is_read_into_placeholders_and_attachments() {
        let vector = vectors::of("sharded").find(|v| v.step == "broadcast binary").unwrap();
        let envelope = from_pubsub(&vector.payload.unwrap().into()).unwrap();
        let Message::Broadcast { data, request, opts } = envelope.message().unwrap() else {
            panic!("not a broadcast")
        };
        assert_eq!(data, r#"["hello",{"_placeholder":true,"num":0},{"deep":{"_placeholder":true,"num":1}}]"#);
        assert_eq!((request, opts.rooms), (None, vec!["room1".to_owned()]));
        assert_eq!(envelope.attachments, [Bytes::from_static(&[1, 2, 3]), vec![7; 300].into()]);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bytes in [
            "",
            "{",
            "{}",
            r#"{"uid":"a","nsp":"/","type":3}"#,
            r#"{"uid":"a","nsp":"/","type":99}"#,
            "\u{0}",
            "\u{7f}",
        ] {
            let envelope = from_pubsub(&bytes.to_owned().into());
            assert!(envelope.and_then(|e| e.message().map(|_| ())).is_err(), "{bytes:?}");
        }
    }
}

//! What the classic adapter (`@socket.io/redis-adapter`) and `@socket.io/redis-emitter` put on channels.

use std::fmt::Write as _;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::adapter::redis::message::{self, MessageError, json};
use crate::adapter::redis::msgpack::{self, Document};

/// An event for sockets, on the namespace's channel or a room's.
#[derive(Debug, PartialEq)]
pub struct Broadcast {
    /// The sending server's, `emitter` for the emitter.
    pub uid: String,
    /// `[name, ...args]`.
    pub data: Document,
    /// Whom it is for.
    pub options: message::Options,
}

/// Writes `[uid, packet, options]`.
pub fn broadcast(
    uid: &str,
    nsp: &str,
    data: &str,
    attachments: &[Bytes],
    options: &message::Options,
) -> Result<Vec<u8>, MessageError> {
    let mut text = String::with_capacity(data.len() + 128);
    let _ = write!(text, r#"[{},{},{}]"#, json(uid), packet(nsp, data), json(options));
    Ok(msgpack::from_json(&text, attachments)?)
}

fn packet(nsp: &str, data: &str) -> String {
    format!(r#"{{"type":2,"data":{data},"nsp":{}}}"#, json(nsp))
}

/// Whether a broadcast is `uid`'s own: told from its first bytes.
pub fn is_from(uid: &str, payload: &[u8]) -> bool {
    matches!(payload, [0x93, length, rest @ ..]
        if usize::from(length & 0x1f) == uid.len() && length & 0xe0 == 0xa0 && rest.starts_with(uid.as_bytes()))
}

/// Reads a broadcast; none where it is for another namespace.
pub fn read_broadcast(nsp: &str, payload: &Bytes) -> Result<Option<Broadcast>, MessageError> {
    #[derive(Deserialize)]
    struct Packet<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
        nsp: Option<String>,
    }
    let Document { json, attachments } = msgpack::to_json(payload)?;
    let (uid, packet, options): (String, Packet<'_>, message::Options) = serde_json::from_str(&json)?;
    if packet.nsp.as_deref().unwrap_or("/") != nsp {
        return Ok(None);
    }
    let data = Document { json: packet.data.get().to_owned(), attachments };
    Ok(Some(Broadcast { uid, data, options }))
}

/// What one server asks of the others, on the request channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Request<'a> {
    /// The ids of the sockets in any of the rooms (all without rooms).
    Sockets { rooms: Vec<String> },
    /// The names of all rooms.
    AllRooms,
    /// The matching sockets join `rooms`.
    Join { opts: message::Options, rooms: Vec<String> },
    /// The matching sockets leave `rooms`.
    Leave { opts: message::Options, rooms: Vec<String> },
    /// The matching sockets are disconnected.
    Disconnect { opts: message::Options, close: bool },
    /// The matching sockets.
    Fetch { opts: message::Options },
    /// An event to the servers themselves, as JSON array.
    ServerSideEmit { data: &'a str },
    /// An event to the matching sockets, with their acknowledgements.
    Broadcast { data: &'a str, opts: message::Options },
}

/// A request with what surrounds it.
#[derive(Debug)]
pub struct Asked {
    /// The asking server's; the emitter gives none.
    pub uid: Option<String>,
    /// Present where an answer is wanted.
    pub request: Option<String>,
    document: Document,
}

/// A JSON text, or MessagePack read as one.
fn read(payload: &Bytes) -> Result<Document, MessageError> {
    match std::str::from_utf8(payload) {
        Ok(text) if text.starts_with('{') => Ok(Document { json: text.to_owned(), attachments: Vec::new() }),
        _ => Ok(msgpack::to_json(payload)?),
    }
}

/// JSON, as Node writes all requests but those with buffers.
fn write(text: String, attachments: &[Bytes]) -> Result<Vec<u8>, MessageError> {
    match attachments {
        [] => Ok(text.into_bytes()),
        _ => Ok(msgpack::from_json(&text, attachments)?),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(default)]
    uid: Option<String>,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(rename = "type")]
    kind: u8,
    #[serde(default)]
    opts: Option<message::Options>,
    #[serde(default)]
    rooms: Vec<String>,
    /// Of the form before `opts`: one socket and one room.
    #[serde(default)]
    sid: Option<String>,
    #[serde(default)]
    room: Option<String>,
    #[serde(default)]
    close: bool,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    packet: Option<&'a RawValue>,
}

impl Asked {
    /// Reads a request.
    pub fn read(payload: &Bytes) -> Result<Self, MessageError> {
        let document = read(payload)?;
        let Fields { uid, request_id, .. }: Fields<'_> = serde_json::from_str(&document.json)?;
        Ok(Self { uid, request: request_id, document })
    }

    /// The buffers in it.
    pub fn attachments(&self) -> &[Bytes] {
        &self.document.attachments
    }

    /// What is asked.
    pub fn request(&self) -> Result<Request<'_>, MessageError> {
        let Fields { uid: _, request_id: _, kind, opts, rooms, sid, room, close, data, packet } =
            serde_json::from_str(&self.document.json)?;
        // The former form means one socket, by the room of its id.
        let one =
            |sid: Option<String>| message::Options { rooms: sid.into_iter().collect(), ..Default::default() };
        let legacy = opts.is_none();
        if legacy && sid.is_none() && (2..=4).contains(&kind) {
            return Err(MessageError::NoField("opts"));
        }
        let opts = opts.unwrap_or_else(|| one(sid));
        let rooms = if legacy && rooms.is_empty() { room.into_iter().collect() } else { rooms };
        Ok(match kind {
            0 => Request::Sockets { rooms },
            1 => Request::AllRooms,
            2 => Request::Join { opts, rooms },
            3 => Request::Leave { opts, rooms },
            4 => Request::Disconnect { opts, close },
            5 => Request::Fetch { opts },
            6 => Request::ServerSideEmit { data: data.ok_or(MessageError::NoField("data"))?.get() },
            7 => {
                #[derive(Deserialize)]
                struct Packet<'a> {
                    #[serde(borrow)]
                    data: &'a RawValue,
                }
                let packet = packet.ok_or(MessageError::NoField("packet"))?.get();
                Request::Broadcast { data: serde_json::from_str::<Packet<'_>>(packet)?.data.get(), opts }
            }
            _ => return Err(MessageError::UnknownType(kind)),
        })
    }
}

/// `opts` of the requests that have no flags.
fn selection(options: &message::Options) -> String {
    format!(r#"{{"rooms":{},"except":{}}}"#, json(&options.rooms), json(&options.except))
}

/// Writes a request, its keys in Node's order.
pub fn request(
    uid: &str,
    id: Option<&str>,
    nsp: &str,
    request: &Request<'_>,
    attachments: &[Bytes],
) -> Result<Vec<u8>, MessageError> {
    let mut text = format!(r#"{{"uid":{}"#, json(uid));
    if let Some(id) = id {
        let _ = write!(text, r#","requestId":{}"#, json(id));
    }
    let _ = match request {
        Request::Sockets { rooms } => write!(text, r#","type":0,"rooms":{}"#, json(rooms)),
        Request::AllRooms => write!(text, r#","type":1"#),
        Request::Join { opts, rooms } => {
            write!(text, r#","type":2,"opts":{},"rooms":{}"#, selection(opts), json(rooms))
        }
        Request::Leave { opts, rooms } => {
            write!(text, r#","type":3,"opts":{},"rooms":{}"#, selection(opts), json(rooms))
        }
        Request::Disconnect { opts, close } => {
            write!(text, r#","type":4,"opts":{},"close":{close}"#, selection(opts))
        }
        Request::Fetch { opts } => write!(text, r#","type":5,"opts":{}"#, selection(opts)),
        Request::ServerSideEmit { data } => write!(text, r#","type":6,"data":{data}"#),
        Request::Broadcast { data, opts } => {
            write!(text, r#","type":7,"packet":{},"opts":{}"#, packet(nsp, data), json(opts))
        }
    };
    text.push('}');
    match request {
        Request::Broadcast { .. } => Ok(msgpack::from_json(&text, attachments)?),
        _ => write(text, attachments),
    }
}

/// What a server answers, on a response channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Response<'a> {
    /// To [`Request::Sockets`] and [`Request::Fetch`]: a JSON array of ids, or of sockets.
    Sockets(&'a str),
    /// To [`Request::AllRooms`]: a JSON array of names.
    Rooms(&'a str),
    /// To [`Request::ServerSideEmit`]: one JSON value.
    ServerSideEmit(&'a str),
    /// To [`Request::Broadcast`], once: sockets that were sent the event.
    ClientCount(u64),
    /// To [`Request::Broadcast`], for each socket: one JSON value.
    Ack(&'a str),
}

/// Writes a response, its keys in Node's order.
pub fn response(id: &str, response: &Response<'_>, attachments: &[Bytes]) -> Result<Vec<u8>, MessageError> {
    let id = json(id);
    match response {
        Response::Sockets(sockets) => {
            write(format!(r#"{{"requestId":{id},"sockets":{sockets}}}"#), attachments)
        }
        Response::Rooms(rooms) => write(format!(r#"{{"requestId":{id},"rooms":{rooms}}}"#), attachments),
        Response::ServerSideEmit(data) => {
            write(format!(r#"{{"type":6,"requestId":{id},"data":{data}}}"#), attachments)
        }
        Response::ClientCount(count) => {
            write(format!(r#"{{"type":8,"requestId":{id},"clientCount":{count}}}"#), attachments)
        }
        Response::Ack(packet) => Ok(msgpack::from_json(
            &format!(r#"{{"type":9,"requestId":{id},"packet":{packet}}}"#),
            attachments,
        )?),
    }
}

/// A response with what surrounds it.
#[derive(Debug)]
pub struct Answered {
    /// To which request.
    pub request: String,
    document: Document,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    request_id: String,
    #[serde(rename = "type", default)]
    kind: Option<u8>,
    #[serde(borrow, default)]
    sockets: Option<&'a RawValue>,
    #[serde(borrow, default)]
    rooms: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    packet: Option<&'a RawValue>,
    #[serde(default)]
    client_count: u64,
}

impl Answered {
    /// Reads a response.
    pub fn read(payload: &Bytes) -> Result<Self, MessageError> {
        let document = read(payload)?;
        let request = serde_json::from_str::<Answer<'_>>(&document.json)?.request_id;
        Ok(Self { request, document })
    }

    /// The buffers in it.
    pub fn attachments(&self) -> &[Bytes] {
        &self.document.attachments
    }

    /// What is answered; an answer without a value (`undefined` in Node) is `null`.
    pub fn response(&self) -> Result<Response<'_>, MessageError> {
        let Answer { request_id: _, kind, sockets, rooms, data, packet, client_count } =
            serde_json::from_str(&self.document.json)?;
        Ok(match (kind, sockets, rooms) {
            (Some(6), ..) => Response::ServerSideEmit(data.map_or("null", RawValue::get)),
            (Some(8), ..) => Response::ClientCount(client_count),
            (Some(9), ..) => Response::Ack(packet.map_or("null", RawValue::get)),
            (None, Some(sockets), _) => Response::Sockets(sockets.get()),
            (None, None, Some(rooms)) => Response::Rooms(rooms.get()),
            (None, None, None) => return Err(MessageError::NoField("sockets")),
            (Some(kind), ..) => return Err(MessageError::UnknownType(kind)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::vectors;
    use super::*;

    /// What Node wrote is read, and what is written from what was read is Node's, byte for byte.
    #[test]
    fn node_s_payloads_are_read_and_written_again() {
        let mut kinds = [0; 3];
        for vectors::Vector { step, channel, payload, .. } in vectors::of("classic") {
            let (Some(channel), Some(payload)) = (channel, payload) else { continue };
            let bytes = Bytes::from(payload.clone());
            let nsp = if step == "broadcast custom namespace" { "/custom" } else { "/" };
            let (kind, again) = if channel.starts_with("socket.io-request#") {
                let asked = Asked::read(&bytes).expect(&step);
                let read = asked.request().expect(&step);
                let uid = asked.uid.as_deref().unwrap();
                (0, request(uid, asked.request.as_deref(), nsp, &read, asked.attachments()).expect(&step))
            } else if channel.starts_with("socket.io-response#") {
                let answered = Answered::read(&bytes).expect(&step);
                let read = answered.response().expect(&step);
                (1, response(&answered.request, &read, answered.attachments()).expect(&step))
            } else {
                let Broadcast { uid, data, options } =
                    read_broadcast(nsp, &bytes).expect(&step).expect(&step);
                assert!(is_from(&uid, &payload) && !is_from("abcdef", &payload));
                (2, broadcast(&uid, nsp, &data.json, &data.attachments, &options).expect(&step))
            };
            kinds[kind] += 1;
            // A Date becomes the text that clients get.
            if step != "broadcast undefined and date" {
                assert_eq!(again, payload, "{step}");
            }
        }
        assert_eq!(kinds, [8, 6, 6]);
    }

    #[test]
    fn the_emitter_is_understood() {
        let of = |step: &str| -> Bytes {
            let found = vectors::of("emitter").find(|v| v.step == step).and_then(|v| v.payload);
            found.expect("a vector").into()
        };
        let event = read_broadcast("/", &of("broadcast room")).unwrap().unwrap();
        assert_eq!((event.uid.as_str(), event.options.rooms), ("emitter", vec!["room1".to_owned()]));
        assert_eq!(event.data.json, r#"["hello",1,{"_placeholder":true,"num":0}]"#);
        assert_eq!(read_broadcast("/", &of("broadcast custom namespace")).unwrap(), None);

        let one = message::Options { rooms: vec!["room1".into()], ..Default::default() };
        for (step, expected) in [
            ("sockets join", Request::Join { opts: one.clone(), rooms: vec!["room2".into()] }),
            ("sockets leave", Request::Leave { opts: one.clone(), rooms: vec!["room2".into()] }),
            ("disconnect sockets", Request::Disconnect { opts: one.clone(), close: true }),
            ("server side emit", Request::ServerSideEmit { data: r#"["news",1]"# }),
        ] {
            assert_eq!(Asked::read(&of(step)).unwrap().request().unwrap(), expected, "{step}");
        }
    }

    #[test]
    fn the_former_form_means_one_socket() {
        let asked =
            Asked::read(&Bytes::from_static(br#"{"requestId":"a","type":2,"sid":"s","room":"r"}"#)).unwrap();
        let opts = message::Options { rooms: vec!["s".into()], ..Default::default() };
        assert_eq!(asked.request().unwrap(), Request::Join { opts, rooms: vec!["r".into()] });
        // Without either form it would mean everybody.
        assert!(Asked::read(&Bytes::from_static(br#"{"type":4,"close":true}"#)).unwrap().request().is_err());
    }
}

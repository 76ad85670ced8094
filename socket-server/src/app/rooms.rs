//! Rooms to talk in.
//!
//! | event | argument | effect |
//! |---|---|---|
//! | `joinRoom` | room or `{room}` | the socket joins |
//! | `leaveRoom` | room or `{room}` | the socket leaves |
//! | `message` | `{room, …}` | `message` with the same object to the others in the room |
//! | `roomMessage` | `{room, data}` | `roomMessage` with the same object to the whole room |
//!
//! An acknowledgement, where the client wants one, is `{ok: true}` once the event has taken effect, else `{error}`.
//! Without one an error is emitted as `error` with `{event, message}`.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::auth::{self, Permission};
use super::reply;
use super::room_name::{self, NotARoom};
use crate::adapter::{Done, Room};
use crate::io::{Event, Namespace, Socket};

/// Why an event was not carried out, for the client.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("send the room's name or an object with it: \"room-17\" or {{\"room\":\"room-17\"}}")]
    Room,
    #[error("send one object with the room's name: {{\"room\":\"room-17\",\"text\":\"hello\"}}")]
    Message,
    #[error(transparent)]
    Name(#[from] NotARoom),
    #[error("your token does not allow this in `{0}`")]
    Denied(Room),
}

type Handler = fn(&Socket, &Event) -> Result<Done, Refused>;

/// Sets the application up on a namespace.
pub fn rooms(namespace: &Namespace) {
    let handlers: [(&str, Handler); 4] =
        [("joinRoom", join), ("leaveRoom", leave), ("message", message), ("roomMessage", room_message)];
    for (name, handle) in handlers {
        namespace.on(name, move |socket: Socket, event: Event| match handle(&socket, &event) {
            Ok(done) => reply::accept(event, done),
            Err(refused) => reply::refuse(&socket, &event, &refused.to_string()),
        });
    }
}

fn join(socket: &Socket, event: &Event) -> Result<Done, Refused> {
    let room = room(event)?;
    allowed(socket, Permission::Join, &room)?;
    Ok(socket.join(room))
}

fn leave(socket: &Socket, event: &Event) -> Result<Done, Refused> {
    socket.leave(&room(event)?);
    Ok(Done::NOW)
}

fn message(socket: &Socket, event: &Event) -> Result<Done, Refused> {
    let room = addressed(event)?;
    allowed(socket, Permission::Send, &room)?;
    // Its payload goes out as it came: the name is the same, and there is nothing else in it.
    Ok(socket.to(room).emit_payload(event.payload().clone()))
}

fn room_message(socket: &Socket, event: &Event) -> Result<Done, Refused> {
    let room = addressed(event)?;
    allowed(socket, Permission::Send, &room)?;
    Ok(socket.namespace().to(room).emit_payload(event.payload().clone()))
}

/// Without tokens nobody has grants, and everything is allowed.
fn allowed(socket: &Socket, permission: Permission, room: &Room) -> Result<(), Refused> {
    match auth::grants(socket) {
        Some(grants) if !grants.allow(permission, room) => Err(Refused::Denied(room.clone())),
        _ => Ok(()),
    }
}

/// The room of `"room-17"` or `{"room": "room-17"}`.
fn room(event: &Event) -> Result<Room, Refused> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Argument {
        Name(String),
        Object { room: String },
    }
    let argument = event.get(0).map_err(|_| Refused::Room)?;
    let (Argument::Name(room) | Argument::Object { room }) = argument;
    room_name::check(&room)?;
    Ok(room.into())
}

/// The room that a message with exactly one argument names.
fn addressed(event: &Event) -> Result<Room, Refused> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        room: Cow<'a, str>,
    }
    let payload = event.payload();
    let (_, Message { room }): (IgnoredAny, _) = payload.parse().map_err(|_| Refused::Message)?;
    room_name::check(&room)?;
    Ok(match room {
        // Shares the message's bytes: most names have no escapes.
        Cow::Borrowed(room) => payload.json().slice_ref(room),
        Cow::Owned(room) => room.into(),
    })
}

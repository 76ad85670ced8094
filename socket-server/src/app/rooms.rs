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
use serde_json::json;

use super::room_name::{self, NotARoom};
use crate::adapter::{Done, Room};
use crate::io::{Event, Io, Socket};

/// Why an event was not carried out, for the client.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("send the room's name or an object with it: \"room-17\" or {{\"room\":\"room-17\"}}")]
    Room,
    #[error("send one object with the room's name: {{\"room\":\"room-17\",\"text\":\"hello\"}}")]
    Message,
    #[error(transparent)]
    Name(#[from] NotARoom),
}

type Handler = fn(&Socket, &Event) -> Result<Done, Refused>;

/// Sets the application up on `/`.
pub fn rooms(io: &Io) {
    let namespace = io.of("/");
    let handlers: [(&str, Handler); 4] =
        [("joinRoom", join), ("leaveRoom", leave), ("message", message), ("roomMessage", room_message)];
    for (name, handle) in handlers {
        namespace.on(name, move |socket: Socket, event: Event| match handle(&socket, &event) {
            Ok(done) => accept(event, done),
            Err(refused) => refuse(&socket, &event, &refused),
        });
    }
}

fn join(socket: &Socket, event: &Event) -> Result<Done, Refused> {
    Ok(socket.join(room(event)?))
}

fn leave(socket: &Socket, event: &Event) -> Result<Done, Refused> {
    socket.leave(&room(event)?);
    Ok(Done::NOW)
}

fn message(socket: &Socket, event: &Event) -> Result<Done, Refused> {
    // Its payload goes out as it came: the name is the same, and there is nothing else in it.
    Ok(socket.to(addressed(event)?).emit_payload(event.payload().clone()))
}

fn room_message(socket: &Socket, event: &Event) -> Result<Done, Refused> {
    Ok(socket.namespace().to(addressed(event)?).emit_payload(event.payload().clone()))
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

fn accept(event: Event, done: Done) {
    if done.is_now() {
        answer(&event, json!({ "ok": true }));
    } else if event.wants_ack() {
        tokio::spawn(async move {
            done.wait().await;
            answer(&event, json!({ "ok": true }));
        });
    }
}

fn refuse(socket: &Socket, event: &Event, refused: &Refused) {
    if event.wants_ack() {
        answer(event, json!({ "error": refused.to_string() }));
    } else if let Err(error) =
        socket.emit("error", (json!({ "event": event.name(), "message": refused.to_string() }),))
    {
        tracing::debug!(%error, "an error could not be told");
    }
}

fn answer(event: &Event, data: serde_json::Value) {
    if let Err(error) = event.ack((data,)) {
        tracing::debug!(%error, "an answer could not be written");
    }
}

//! What clients are told about their events.

use serde::Serialize;
use serde_json::json;

use crate::adapter::Done;
use crate::io::{Event, Socket};

#[derive(Serialize)]
struct Accepted {
    ok: bool,
}

/// `{ok: true}` to a client that waits, once the event has taken effect.
pub fn accept(event: Event, done: Done) {
    if done.is_now() {
        answer(&event, Accepted { ok: true });
    } else if event.wants_ack() {
        tokio::spawn(async move {
            done.wait().await;
            answer(&event, Accepted { ok: true });
        });
    }
}

/// `{error}` to a client that waits; to others the event `error` with `{event, message}`.
pub fn refuse(socket: &Socket, event: &Event, why: &str) {
    if event.wants_ack() {
        answer(event, json!({ "error": why }));
    } else if let Err(error) =
        socket.emit_volatile("error", (json!({ "event": event.name(), "message": why }),))
    {
        tracing::debug!(%error, "an error could not be told");
    }
}

fn answer(event: &Event, data: impl Serialize) {
    if let Err(error) = event.ack((data,)) {
        tracing::debug!(%error, "an answer could not be written");
    }
}

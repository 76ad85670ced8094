//! Answers what it is sent, on `/` and `/custom`: for testing clients.

use serde_json::{Value, json};

use crate::io::{Event, Io, Socket};
use crate::packet::PayloadError;

/// Sets the application up.
pub fn echo(io: &Io) {
    for name in ["/", "/custom"] {
        let namespace = io.of(name);
        namespace.on_connection(|socket: Socket| {
            let auth = socket.auth::<Value>().unwrap_or_else(|| json!({}));
            told(socket.emit("auth", (auth,)));
        });
        namespace.on("message", |socket: Socket, event: Event| {
            told(event.args().and_then(|same| socket.emit("message-back", same)));
        });
        namespace.on("message-with-ack", |_: Socket, event: Event| {
            told(event.args().and_then(|same| event.ack(same)));
        });
    }
}

fn told<T>(result: Result<T, PayloadError>) {
    if let Err(error) = result {
        tracing::debug!(%error, "an answer could not be written");
    }
}

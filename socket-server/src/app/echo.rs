//! Answers what it is sent, on `/` and `/custom`: for testing clients.

use serde_json::{Value, json};

use crate::io::{Event, Namespace, Socket};
use crate::packet::PayloadError;

/// Where it is served.
pub const NAMESPACES: [&str; 2] = ["/", "/custom"];

/// Sets the application up on a namespace.
pub fn echo(namespace: &Namespace) {
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

fn told<T>(result: Result<T, PayloadError>) {
    if let Err(error) = result {
        tracing::debug!(%error, "an answer could not be written");
    }
}

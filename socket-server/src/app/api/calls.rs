//! The calls, one by one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::target::{Target, namespace};
use super::{Api, Wrong};
use crate::adapter::SocketInfo;
use crate::app::auth::user_room;
use crate::packet::Payload;

/// Names that clients keep for themselves.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

#[derive(Deserialize)]
pub(super) struct Emit {
    #[serde(flatten)]
    to: Target,
    event: String,
    #[serde(default)]
    args: Vec<Value>,
    #[serde(default)]
    volatile: bool,
}

#[derive(Deserialize)]
pub(super) struct Join {
    #[serde(flatten)]
    to: Target,
    into: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Leave {
    #[serde(flatten)]
    to: Target,
    from: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Disconnect {
    #[serde(flatten)]
    to: Target,
    #[serde(default)]
    close: bool,
}

/// What is asked for.
#[derive(Default)]
pub(super) struct Query {
    namespace: Option<String>,
    room: Option<String>,
    user: Option<String>,
}

impl Query {
    /// Keys that are not known are left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            match &*key {
                "namespace" => query.namespace = Some(value.into_owned()),
                "room" => query.room = Some(value.into_owned()),
                "user" => query.user = Some(value.into_owned()),
                _ => {}
            }
        }
        query
    }
}

impl Api {
    pub(super) async fn emit(&self, call: Emit) -> Result<(), Wrong> {
        let Emit { to, event, args, volatile } = call;
        if RESERVED.contains(&event.as_str()) {
            return Err(Wrong::Call("this event's name is kept for the clients themselves: choose another"));
        }
        let elements: Vec<Value> = std::iter::once(event.into()).chain(args).collect();
        let payload = Payload::value(&elements)?;
        let broadcast = to.broadcast(&self.io)?;
        let broadcast = if volatile { broadcast.volatile() } else { broadcast };
        broadcast.emit_payload(payload).wait().await;
        Ok(())
    }

    pub(super) fn join(&self, call: Join) -> Result<(), Wrong> {
        call.to.some(&self.io)?.sockets_join(call.into);
        Ok(())
    }

    pub(super) fn leave(&self, call: Leave) -> Result<(), Wrong> {
        call.to.some(&self.io)?.sockets_leave(call.from);
        Ok(())
    }

    pub(super) fn disconnect(&self, call: Disconnect) -> Result<(), Wrong> {
        call.to.some(&self.io)?.disconnect_sockets(call.close);
        Ok(())
    }

    pub(super) async fn sockets(&self, query: &Query) -> Result<Value, Wrong> {
        let to = Target {
            namespace: query.namespace.clone(),
            rooms: query.room.iter().cloned().collect(),
            users: query.user.iter().cloned().collect(),
            ..Target::default()
        };
        let sockets = to.broadcast(&self.io)?.fetch_sockets().await?;
        Ok(json!({ "sockets": sockets.iter().map(shown).collect::<Vec<_>>() }))
    }

    pub(super) async fn rooms(&self, query: &Query) -> Result<Value, Wrong> {
        let sockets = namespace(&self.io, query.namespace.as_deref())?.fetch_sockets().await?;
        let mut rooms: BTreeMap<&str, u64> = BTreeMap::new();
        for socket in &sockets {
            for room in socket.rooms.iter().filter(|room| **room != socket.id) {
                *rooms.entry(room).or_default() += 1;
            }
        }
        Ok(json!({ "rooms": rooms }))
    }

    pub(super) async fn user(&self, user: &str, query: &Query) -> Result<Value, Wrong> {
        let user = percent_encoding::percent_decode_str(user).decode_utf8_lossy();
        let namespace = namespace(&self.io, query.namespace.as_deref())?;
        let sockets = namespace.to(user_room(&user)).fetch_sockets().await?;
        let shown: Vec<_> = sockets.iter().map(shown).collect();
        Ok(json!({ "user": user, "online": !shown.is_empty(), "sockets": shown }))
    }
}

/// Without the handshake: that has the client's token.
fn shown(socket: &SocketInfo) -> Value {
    let SocketInfo { id, rooms, data, handshake: _ } = socket;
    let rooms: Vec<&str> = rooms.iter().filter(|room| *room != id).map(|room| &**room).collect();
    json!({ "id": &**id, "rooms": rooms, "data": data })
}

//! Whom a call is about.

use serde::Deserialize;

use super::Wrong;
use crate::adapter::Room;
use crate::app::auth::user_room;
use crate::io::{Broadcast, Io, Namespace};

/// The sockets in any of `rooms`, of any of `users`, or named in `sockets`, without those in `except`. With none of
/// them: the whole namespace.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Target {
    /// `/` when it is left out.
    pub namespace: Option<String>,
    /// Rooms whose members are meant.
    pub rooms: Vec<String>,
    /// Users all of whose sockets are meant.
    pub users: Vec<String>,
    /// Ids of sockets.
    pub sockets: Vec<String>,
    /// Rooms whose members are left out.
    pub except: Vec<String>,
}

impl Target {
    /// The broadcast to them.
    pub(super) fn broadcast(self, io: &Io) -> Result<Broadcast, Wrong> {
        let namespace = namespace(io, self.namespace.as_deref())?;
        let users = self.users.iter().map(|user| user_room(user));
        let to = self.rooms.into_iter().chain(users).chain(self.sockets).map(Room::from);
        let broadcast = to.fold(namespace.broadcast(), Broadcast::to);
        Ok(self.except.into_iter().map(Room::from).fold(broadcast, Broadcast::except))
    }

    /// The same for calls that nobody means for everyone.
    pub(super) fn some(self, io: &Io) -> Result<Broadcast, Wrong> {
        if self.rooms.is_empty() && self.users.is_empty() && self.sockets.is_empty() {
            return Err(Wrong::Call("say whom: give rooms, users or sockets"));
        }
        self.broadcast(io)
    }
}

/// A namespace that is there: asking for one must not make it.
pub(super) fn namespace(io: &Io, name: Option<&str>) -> Result<Namespace, Wrong> {
    let name = name.unwrap_or("/");
    io.namespaces()
        .into_iter()
        .find(|namespace| *namespace.name() == name)
        .ok_or_else(|| Wrong::Namespace(name.to_owned()))
}

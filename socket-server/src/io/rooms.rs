//! Who is in which room.
//!
//! Members are listed by room, so that a broadcast looks nobody up. A list is shared with the broadcasts that run
//! over it and copied only when it changes meanwhile. The room that each socket has under its own id is not listed:
//! it follows from the table of sockets.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytestring::ByteString;
use indexmap::IndexSet;
use smallvec::SmallVec;

use super::socket::SocketInner;
use crate::adapter::{BroadcastOptions, Room};
use crate::engine::Conn;

/// A socket in a list, compared by identity. Its connection lies beside it: a broadcast need not look at the socket.
#[derive(Clone)]
pub(super) struct Member {
    socket: Arc<SocketInner>,
    conn: Arc<Conn>,
}

impl Member {
    fn new(socket: &Arc<SocketInner>) -> Self {
        Self { socket: Arc::clone(socket), conn: Arc::clone(&socket.conn) }
    }
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.socket, &other.socket)
    }
}

impl Eq for Member {}

impl Hash for Member {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.socket).hash(state);
    }
}

type Members = IndexSet<Member>;

#[derive(Default)]
pub(super) struct Rooms {
    sockets: HashMap<ByteString, Arc<SocketInner>>,
    rooms: HashMap<Room, Arc<Members>>,
}

/// The receivers of a broadcast.
pub(super) enum Targets {
    /// Nobody.
    None,
    /// The socket of this id.
    One(Arc<SocketInner>),
    /// A room's list as it is now, without these.
    Room(Arc<Members>, SmallVec<[Arc<SocketInner>; 1]>),
    /// A list made for this broadcast.
    Some(Vec<Arc<SocketInner>>),
}

impl Targets {
    /// Each socket, once.
    pub fn for_each(&self, mut act: impl FnMut(&Arc<SocketInner>)) {
        match self {
            Self::None => {}
            Self::One(socket) => act(socket),
            Self::Room(members, except) => others(members, except).for_each(|m| act(&m.socket)),
            Self::Some(sockets) => sockets.iter().for_each(act),
        }
    }

    /// The connection of each.
    pub fn for_each_conn(&self, mut act: impl FnMut(&Conn)) {
        match self {
            Self::Room(members, except) => others(members, except).for_each(|m| act(&m.conn)),
            Self::None | Self::One(_) | Self::Some(_) => self.for_each(|socket| act(&socket.conn)),
        }
    }

    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// The members that are not among these.
fn others<'a>(members: &'a Members, except: &'a [Arc<SocketInner>]) -> impl Iterator<Item = &'a Member> {
    members.iter().filter(|m| !except.iter().any(|e| Arc::ptr_eq(e, &m.socket)))
}

/// Sockets whose ids may be left out by comparing, before a set is made.
const FEW: usize = 4;

impl Rooms {
    /// Takes the place of a socket of the same id, which a client that is back has left behind. `false`: there
    /// was one.
    pub fn add_socket(&mut self, socket: &Arc<SocketInner>) -> bool {
        self.sockets.insert(socket.id.clone(), Arc::clone(socket)).is_none()
    }

    pub fn remove_socket(&mut self, socket: &Arc<SocketInner>) -> bool {
        let ours = self.sockets.get(&socket.id).is_some_and(|s| Arc::ptr_eq(s, socket));
        if ours {
            self.sockets.remove(&socket.id);
        }
        // Memory goes back after a wave of connections.
        if self.sockets.capacity() > 64 && self.sockets.capacity() / 8 > self.sockets.len() {
            self.sockets.shrink_to_fit();
        }
        ours
    }

    /// Returns whether the socket is new there, and whether the room is.
    pub fn join(&mut self, socket: &Arc<SocketInner>, room: &Room) -> (bool, bool) {
        let created = !self.rooms.contains_key(room);
        let members = self.rooms.entry(room.clone()).or_default();
        let joined = Arc::make_mut(members).insert(Member::new(socket));
        (joined, created)
    }

    /// Returns whether the room has lost its last member.
    pub fn leave(&mut self, socket: &Arc<SocketInner>, room: &str) -> bool {
        let Some(members) = self.rooms.get_mut(room) else { return false };
        Arc::make_mut(members).swap_remove(&Member::new(socket));
        let empty = members.is_empty();
        if empty {
            self.rooms.remove(room);
            if self.rooms.capacity() > 64 && self.rooms.capacity() / 8 > self.rooms.len() {
                self.rooms.shrink_to_fit();
            }
        }
        empty
    }

    pub fn socket(&self, id: &str) -> Option<&Arc<SocketInner>> {
        self.sockets.get(id)
    }

    pub fn socket_count(&self) -> usize {
        self.sockets.len()
    }

    /// Rooms that have been joined; own-id rooms are not counted.
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    pub fn has_room(&self, room: &str) -> bool {
        self.rooms.contains_key(room) || self.sockets.contains_key(room)
    }

    pub fn names(&self) -> Vec<Room> {
        let joined = self.rooms.keys();
        let own = self.sockets.keys().filter(|id| !self.rooms.contains_key(*id));
        joined.chain(own).cloned().collect()
    }

    /// Who is meant. Rooms that exist here alone cost nothing when they do not.
    pub fn targets(&self, options: &BroadcastOptions) -> Targets {
        let BroadcastOptions { rooms, except, flags: _ } = options;
        match (rooms.as_slice(), except.as_slice()) {
            ([], []) => Targets::Some(self.sockets.values().cloned().collect()),
            ([room], except) if except.len() <= FEW && except.iter().all(|e| !self.rooms.contains_key(e)) => {
                let except: SmallVec<[_; 1]> =
                    except.iter().filter_map(|e| self.sockets.get(e).cloned()).collect();
                match (self.rooms.get(room), self.sockets.get(room)) {
                    (Some(members), None) => Targets::Room(Arc::clone(members), except),
                    (None, Some(own)) if !except.iter().any(|e| Arc::ptr_eq(e, own)) => {
                        Targets::One(Arc::clone(own))
                    }
                    (None, _) => Targets::None,
                    (Some(_), Some(_)) => self.gather(options),
                }
            }
            _ => self.gather(options),
        }
    }

    fn gather(&self, options: &BroadcastOptions) -> Targets {
        let mut left_out = IndexSet::new();
        options.except.iter().for_each(|room| self.collect(room, &mut left_out));
        let mut meant = IndexSet::new();
        match options.rooms.is_empty() {
            true => meant.extend(self.sockets.values().map(Member::new)),
            false => options.rooms.iter().for_each(|room| self.collect(room, &mut meant)),
        }
        let meant: Vec<_> = meant.into_iter().filter(|m| !left_out.contains(m)).map(|m| m.socket).collect();
        if meant.is_empty() { Targets::None } else { Targets::Some(meant) }
    }

    fn collect(&self, room: &str, into: &mut Members) {
        if let Some(members) = self.rooms.get(room) {
            into.extend(members.iter().cloned());
        }
        if let Some(own) = self.sockets.get(room) {
            into.insert(Member::new(own));
        }
    }
}

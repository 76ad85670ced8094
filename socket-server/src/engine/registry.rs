//! The open connections by slot.

use std::sync::Arc;

use parking_lot::Mutex;
use slab::Slab;

use super::conn::{Conn, Key};
use super::id;

#[derive(Default)]
pub(super) struct Registry {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    conns: Slab<Arc<Conn>>,
    /// Numbers given out: a slot that is used again belongs to another connection.
    serial: u64,
}

impl Registry {
    /// Takes a slot for the connection that `make` makes for it.
    pub fn insert(&self, make: impl FnOnce(Key) -> Arc<Conn>) -> Arc<Conn> {
        let mut inner = self.inner.lock();
        inner.serial += 1;
        let serial = inner.serial;
        let entry = inner.conns.vacant_entry();
        let conn = make(Key { slot: entry.key() as u32, serial });
        Arc::clone(entry.insert(conn))
    }

    pub fn remove(&self, key: Key) -> Option<Arc<Conn>> {
        let mut inner = self.inner.lock();
        let ours = inner.conns.get(key.slot as usize).is_some_and(|c| c.key() == key);
        let removed = ours.then(|| inner.conns.remove(key.slot as usize));
        if inner.conns.is_empty() {
            inner.conns.shrink_to_fit();
        }
        removed
    }

    pub fn get(&self, key: Key) -> Option<Arc<Conn>> {
        self.inner.lock().conns.get(key.slot as usize).filter(|c| c.key() == key).cloned()
    }

    /// By the secret of the client's.
    pub fn find(&self, sid: &str) -> Option<Arc<Conn>> {
        let slot = id::slot_of(sid)?;
        let conn = self.inner.lock().conns.get(slot as usize).cloned()?;
        // Compared in constant time: the sid is a secret, its slot is not.
        let differs = conn.sid().bytes().zip(sid.bytes()).fold(0, |acc, (a, b)| acc | (a ^ b));
        (differs == 0).then_some(conn)
    }

    pub fn len(&self) -> usize {
        self.inner.lock().conns.len()
    }

    pub fn all(&self) -> Vec<Arc<Conn>> {
        self.inner.lock().conns.iter().map(|(_, conn)| Arc::clone(conn)).collect()
    }
}

//! Namespaces, sockets, rooms and events: the Socket.IO layer, in Node's words.
//!
//! Handlers run on the connection's task, in the order of the events. [`Io`] is Node's `io`.

mod ack;
mod broadcast;
mod client;
mod event;
mod handlers;
mod handshake;
mod join;
mod local;
mod namespace;
mod rooms;
mod socket;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytestring::ByteString;
use parking_lot::RwLock;

pub use ack::AckError;
pub use broadcast::Broadcast;
pub use event::Event;
pub use handlers::{ConnectError, DisconnectReason};
pub use local::Local;
pub use namespace::Namespace;
pub use socket::Socket;

pub(crate) use client::Client;

use crate::adapter::AdapterFactory;
use crate::options::ServerOptions;
use crate::packet::ROOT_NAMESPACE;
use crate::stats::{Observer, Stats};
use namespace::NamespaceInner;

pub(crate) struct IoInner {
    options: ServerOptions,
    adapter: AdapterFactory,
    stats: Arc<Stats>,
    /// Volatile events are not even tried.
    sheds_volatile: Arc<AtomicBool>,
    observer: Arc<dyn Observer>,
    namespaces: RwLock<HashMap<ByteString, Arc<NamespaceInner>>>,
    dynamic: RwLock<Vec<Dynamic>>,
}

/// Namespaces that are made when a client asks for them.
#[derive(Clone)]
struct Dynamic {
    matches: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    template: Arc<NamespaceInner>,
}

impl IoInner {
    fn get(&self, name: &str) -> Option<Arc<NamespaceInner>> {
        self.namespaces.read().get(name).cloned()
    }

    /// The namespace that a client wants to join: one that exists, or one that may be made for it.
    fn namespace_for(self: &Arc<Self>, name: &ByteString) -> Option<Arc<NamespaceInner>> {
        if let Some(nsp) = self.get(name) {
            return Some(nsp);
        }
        let parent = self.dynamic.read().iter().find(|d| (d.matches)(name))?.template.clone();
        let mut namespaces = self.namespaces.write();
        if let Some(nsp) = namespaces.get(name) {
            return Some(Arc::clone(nsp));
        }
        // The name outlives the message that it came in.
        let name = ByteString::from(name.to_string());
        let handlers = Arc::new(parent.local().handlers.copy());
        let child = NamespaceInner::new(self, name.clone(), handlers, true);
        namespaces.insert(name, Arc::clone(&child));
        Some(child)
    }

    /// Lets an empty child go, where that is wanted.
    fn clean_up(&self, nsp: &Arc<NamespaceInner>) {
        if !self.options.cleanup_empty_child_namespaces || !nsp.is_child() {
            return;
        }
        let mut namespaces = self.namespaces.write();
        if nsp.local().socket_count() == 0 && namespaces.remove(nsp.name()).is_some() {
            nsp.adapter().close();
        }
    }
}

/// All namespaces of a server. Cheap to clone.
#[derive(Clone)]
pub struct Io(pub(crate) Arc<IoInner>);

impl Io {
    pub(crate) fn new(
        options: ServerOptions,
        adapter: AdapterFactory,
        stats: Arc<Stats>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let io = Self(Arc::new(IoInner {
            options,
            adapter,
            stats,
            sheds_volatile: Arc::default(),
            observer,
            namespaces: RwLock::default(),
            dynamic: RwLock::default(),
        }));
        io.root();
        io
    }

    /// The namespace `/`, which each server has.
    pub fn root(&self) -> Namespace {
        self.of(ROOT_NAMESPACE)
    }

    /// A namespace, made when it is not there yet. A missing slash is added.
    pub fn of(&self, name: &str) -> Namespace {
        let name = if name.starts_with('/') { name.to_owned() } else { format!("/{name}") };
        let name = ByteString::from(name);
        if let Some(nsp) = self.0.get(&name) {
            return Namespace(nsp);
        }
        let mut namespaces = self.0.namespaces.write();
        let made = || NamespaceInner::new(&self.0, name.clone(), Arc::default(), false);
        Namespace(Arc::clone(namespaces.entry(name.clone()).or_insert_with(made)))
    }

    /// Namespaces that are made when a client asks for a name that `matches`; each begins with the handlers that
    /// the returned one has by then.
    pub fn of_dynamic(&self, matches: impl Fn(&str) -> bool + Send + Sync + 'static) -> Namespace {
        let mut dynamic = self.0.dynamic.write();
        let name = ByteString::from(format!("/_{}", dynamic.len()));
        let template = NamespaceInner::new(&self.0, name, Arc::default(), false);
        dynamic.push(Dynamic { matches: Arc::new(matches), template: Arc::clone(&template) });
        Namespace(template)
    }

    /// Drops volatile events to the sockets of this server, for want of memory, or no longer.
    pub(crate) fn shed_volatile(&self, shed: bool) {
        self.0.sheds_volatile.store(shed, Relaxed);
    }

    /// The namespaces that there are.
    pub fn namespaces(&self) -> Vec<Namespace> {
        self.0.namespaces.read().values().cloned().map(Namespace).collect()
    }
}

//! What a namespace does with its sockets and their events.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};

use parking_lot::RwLock;
use serde_json::Value;

use super::event::{Event, event_name};
use super::socket::Socket;
use crate::adapter::{BoxFuture, ServerSideAck};
use crate::engine::CloseReason;
use crate::packet::Payload;

/// Handles an event.
pub(super) type EventHandler = Arc<dyn Fn(Socket, Event) + Send + Sync>;
/// Looks at each event before its handler; `false` drops it.
pub(super) type EventFilter = Arc<dyn Fn(&Socket, &Event) -> bool + Send + Sync>;
pub(super) type ConnectHandler = Arc<dyn Fn(Socket) + Send + Sync>;
pub(super) type DisconnectHandler = Arc<dyn Fn(Socket, DisconnectReason) + Send + Sync>;
/// Decides whether a socket may join the namespace.
pub(super) type Middleware =
    Arc<dyn Fn(Socket) -> BoxFuture<'static, Result<(), ConnectError>> + Send + Sync>;
pub(super) type ServerSideHandler = Arc<dyn Fn(Payload, Option<ServerSideAck>) + Send + Sync>;

/// Why a socket has left its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// The client said so.
    ClientNamespace,
    /// The server said so.
    ServerNamespace,
    /// The connection has ended.
    Transport(CloseReason),
}

impl DisconnectReason {
    /// Node's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientNamespace => "client namespace disconnect",
            Self::ServerNamespace => "server namespace disconnect",
            Self::Transport(reason) => reason.as_str(),
        }
    }

    /// Whether the client may come back and go on: it did not leave on purpose, and nobody sent it away.
    pub(super) fn is_recoverable(self) -> bool {
        match self {
            Self::ClientNamespace | Self::ServerNamespace => false,
            Self::Transport(reason) => reason != CloseReason::ParseError,
        }
    }
}

/// Tells a client why it may not join: its `connect_error`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectError {
    /// `error.message`.
    pub message: String,
    /// `error.data`, absent when `None`.
    pub data: Option<Value>,
}

impl ConnectError {
    /// With a message alone.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), data: None }
    }
}

/// Registered at start, read at each event.
#[derive(Default)]
pub(super) struct Handlers {
    table: RwLock<Table>,
}

#[derive(Default, Clone)]
struct Table {
    gates: Vec<Middleware>,
    middlewares: Vec<Middleware>,
    connect: Vec<ConnectHandler>,
    disconnect: Vec<DisconnectHandler>,
    filters: Vec<EventFilter>,
    events: HashMap<Box<str>, EventHandler>,
    server_side: HashMap<Box<str>, ServerSideHandler>,
}

impl Handlers {
    /// What a child of a dynamic namespace begins with.
    pub fn copy(&self) -> Self {
        Self { table: RwLock::new(self.table.read().clone()) }
    }

    pub fn add_gate(&self, gate: Middleware) {
        self.table.write().gates.push(gate);
    }

    pub fn gates(&self) -> Vec<Middleware> {
        self.table.read().gates.clone()
    }

    pub fn add_middleware(&self, middleware: Middleware) {
        self.table.write().middlewares.push(middleware);
    }

    pub fn add_connect(&self, handler: ConnectHandler) {
        self.table.write().connect.push(handler);
    }

    pub fn add_disconnect(&self, handler: DisconnectHandler) {
        self.table.write().disconnect.push(handler);
    }

    pub fn add_filter(&self, filter: EventFilter) {
        self.table.write().filters.push(filter);
    }

    pub fn set_event(&self, name: &str, handler: EventHandler) {
        self.table.write().events.insert(name.into(), handler);
    }

    pub fn set_server_side(&self, name: &str, handler: ServerSideHandler) {
        self.table.write().server_side.insert(name.into(), handler);
    }

    pub fn middlewares(&self) -> Vec<Middleware> {
        self.table.read().middlewares.clone()
    }

    pub fn connected(&self, socket: &Socket) {
        let handlers = self.table.read().connect.clone();
        handlers.iter().for_each(|handler| handler(socket.clone()));
    }

    pub fn disconnected(&self, socket: &Socket, reason: DisconnectReason) {
        let handlers = self.table.read().disconnect.clone();
        handlers.iter().for_each(|handler| handler(socket.clone(), reason));
    }

    /// Runs the handler of an event, the socket's own first.
    pub fn event(&self, socket: Socket, event: Event) {
        let (handler, filters) = {
            let table = self.table.read();
            let handler = socket.handler(event.name()).or_else(|| table.events.get(event.name()).cloned());
            // An empty list costs no allocation.
            (handler, table.filters.clone())
        };
        if filters.iter().all(|filter| filter(&socket, &event))
            && let Some(handler) = handler
        {
            handler(socket, event);
        }
    }

    pub fn server_side(&self, data: Payload, ack: Option<ServerSideAck>) {
        let handler = event_name(&data).and_then(|name| self.table.read().server_side.get(&*name).cloned());
        if let Some(handler) = handler {
            handler(data, ack);
        }
    }
}

/// Runs an asynchronous handler: up to its first wait at once, so that handlers begin in the order of their
/// events, then as a task.
pub(super) fn run(future: impl Future<Output = ()> + Send + 'static) {
    let mut future = Box::pin(future);
    if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        tokio::spawn(future);
    }
}

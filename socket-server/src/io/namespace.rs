//! A namespace: its sockets, its handlers, its adapter.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytestring::ByteString;

use super::broadcast::Broadcast;
use super::handlers::{ConnectError, DisconnectReason, Handlers, run};
use super::{Event, IoInner, Local, Socket};
use crate::adapter::{Adapter, AdapterError, Done, Room, ServerSideAck, SocketInfo};
use crate::packet::{Args, Payload, PayloadError};

pub(crate) struct NamespaceInner {
    local: Arc<Local>,
    adapter: Arc<dyn Adapter>,
    io: Weak<IoInner>,
    /// Made for a client, from a dynamic namespace.
    is_child: bool,
}

impl NamespaceInner {
    pub(super) fn new(
        io: &Arc<IoInner>,
        name: ByteString,
        handlers: Arc<Handlers>,
        is_child: bool,
    ) -> Arc<Self> {
        let local = Arc::new(Local::new(
            name,
            io.options.parser,
            handlers,
            Arc::clone(&io.stats),
            Arc::clone(&io.sheds_volatile),
        ));
        let adapter = (io.adapter)(Arc::clone(&local));
        local.set_adapter(&adapter);
        Arc::new(Self { local, adapter, io: Arc::downgrade(io), is_child })
    }

    pub(super) fn name(&self) -> &ByteString {
        self.local.namespace()
    }

    pub(super) fn local(&self) -> &Arc<Local> {
        &self.local
    }

    pub(super) fn adapter(&self) -> &Arc<dyn Adapter> {
        &self.adapter
    }

    pub(super) fn is_child(&self) -> bool {
        self.is_child
    }

    /// A socket has left.
    pub(super) fn socket_gone(self: &Arc<Self>) {
        if self.is_child
            && let Some(io) = self.io.upgrade()
        {
            io.clean_up(self);
        }
    }
}

/// A namespace: Node's `Namespace`. Cheap to clone.
#[derive(Clone)]
pub struct Namespace(pub(super) Arc<NamespaceInner>);

impl Namespace {
    /// Its name, with the slash.
    pub fn name(&self) -> &ByteString {
        self.0.name()
    }

    /// Its sockets and rooms on this server.
    pub fn local_state(&self) -> &Arc<Local> {
        self.0.local()
    }

    /// What connects it to other servers.
    pub fn adapter(&self) -> &Arc<dyn Adapter> {
        self.0.adapter()
    }

    fn handlers(&self) -> &Handlers {
        &self.0.local.handlers
    }

    /// Decides who may join, in the order of registration: Node's `use`.
    pub fn middleware<F>(&self, middleware: impl Fn(Socket) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), ConnectError>> + Send + 'static,
    {
        self.handlers().add_middleware(Arc::new(move |socket| Box::pin(middleware(socket))));
    }

    /// Decides as a [`middleware`](Self::middleware) does, before those, and also about clients that come back for their
    /// session. Who is refused keeps it, and may come again with a better answer, or to another server. What it sets in
    /// `socket.data` takes the place of what the session had.
    pub fn gate<F>(&self, gate: impl Fn(Socket) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), ConnectError>> + Send + 'static,
    {
        self.handlers().add_gate(Arc::new(move |socket| Box::pin(gate(socket))));
    }

    /// Called with each socket that has joined.
    pub fn on_connection(&self, handler: impl Fn(Socket) + Send + Sync + 'static) {
        self.handlers().add_connect(Arc::new(handler));
    }

    /// Called with each socket that has left.
    pub fn on_disconnect(&self, handler: impl Fn(Socket, DisconnectReason) + Send + Sync + 'static) {
        self.handlers().add_disconnect(Arc::new(handler));
    }

    /// Handles an event of all sockets here; one that is registered later takes its place. Runs on the
    /// connection's task and must not block.
    pub fn on(&self, event: &str, handler: impl Fn(Socket, Event) + Send + Sync + 'static) {
        self.handlers().set_event(event, Arc::new(handler));
    }

    /// The same with a handler that waits. It begins at once; what is behind its first wait runs beside other
    /// events.
    pub fn on_async<F>(&self, event: &str, handler: impl Fn(Socket, Event) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.on(event, move |socket, event| run(handler(socket, event)));
    }

    /// Looks at each event before its handler; `false` drops it. For limits and checks: Node's `socket.use`.
    pub fn filter(&self, filter: impl Fn(&Socket, &Event) -> bool + Send + Sync + 'static) {
        self.handlers().add_filter(Arc::new(filter));
    }

    /// Handles an event that another server has sent with `server_side_emit`.
    pub fn on_server_side(
        &self,
        event: &str,
        handler: impl Fn(Payload, Option<ServerSideAck>) + Send + Sync + 'static,
    ) {
        self.handlers().set_server_side(event, Arc::new(handler));
    }

    /// To everybody here.
    pub fn broadcast(&self) -> Broadcast {
        Broadcast::new(Arc::clone(&self.0))
    }

    /// To the members of a room.
    pub fn to(&self, room: impl Into<Room>) -> Broadcast {
        self.broadcast().to(room)
    }

    /// To everybody but the members of a room.
    pub fn except(&self, room: impl Into<Room>) -> Broadcast {
        self.broadcast().except(room)
    }

    /// Sends an event to everybody, on all servers.
    ///
    /// # Errors
    /// When an argument does not serialise.
    pub fn emit(&self, event: &str, args: impl Args) -> Result<Done, PayloadError> {
        self.broadcast().emit(event, args)
    }

    /// All sockets, over all servers.
    ///
    /// # Errors
    /// The other servers could not be asked, or did not answer in time.
    pub async fn fetch_sockets(&self) -> Result<Vec<SocketInfo>, AdapterError> {
        self.broadcast().fetch_sockets().await
    }

    /// Sends an event to the other servers of the fleet.
    ///
    /// # Errors
    /// When an argument does not serialise.
    pub fn server_side_emit(&self, event: &str, args: impl Args) -> Result<(), PayloadError> {
        self.0.adapter.server_side_emit(Payload::event(event, args)?);
        Ok(())
    }

    /// Sends an event to the other servers of the fleet and waits for an answer from each.
    ///
    /// # Errors
    /// An argument does not serialise, or not all have answered in time.
    pub async fn server_side_emit_with_ack(
        &self,
        event: &str,
        args: impl Args,
        timeout: Duration,
    ) -> Result<Vec<Payload>, super::AckError> {
        let data = Payload::event(event, args)?;
        Ok(self.0.adapter.server_side_emit_with_ack(data, timeout).await?)
    }
}

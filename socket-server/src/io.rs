//! Namespaces, sockets, rooms and events.
//!
//! The handles are cheap to clone. What they will offer (landing next, in these signatures):
//!
//! ```text
//! Server::builder(ServerOptions)                        // src/server.rs
//!     .adapter(AdapterFactory)                          // MemoryAdapter by default
//!     .observer(Arc<dyn Observer>)
//!     .fallback(Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<Full<Bytes>>> + Send + Sync>)
//!     .build() -> Server                                // Clone
//! Server::io(&self) -> &Io                              // = Node's `io`
//! Server::serve(&self, TcpListener) -> io::Result<()>   // async, until `shutdown`
//! Server::stats(&self) -> &Stats
//! Server::open_connections(&self) -> usize              // engine connections past the handshake
//! Server::room_count(&self) -> usize
//! Server::refuse_new(&self, Option<Duration>)           // Some(retry after): 503 to new ones; None: accept again
//! Server::connections(&self) -> Vec<Connection>         // stable order: oldest slot first
//! Connection::id(&self) -> u64, is_open(&self) -> bool
//! Connection::close_for_drain(&self, event: &str, args: impl Args, linger: Duration) -> impl Future<Output = Moved>
//!     // emits to each of its sockets, flushes, saves the sessions, closes the transport; Moved says flushed or not
//!
//! Io::of(&self, name) -> Namespace                      // creates it
//! Io::of_dynamic(&self, Fn(&str) -> bool) -> Namespace  // template of namespaces made at connect
//! Namespace::on_connection(Fn(Socket)), on_disconnect(Fn(Socket, DisconnectReason))
//! Namespace::on(event, Fn(Socket, Event) [-> Future])   // handlers of all its sockets; also `on_any`
//! Namespace::middleware(Fn(Socket) -> BoxFuture<Result<(), ConnectError{message, data}>>)
//! Namespace::to(room) / except(room) / volatile() / local() / timeout(d)  -> Broadcast
//! Broadcast::emit(name, args) -> Result<Done, PayloadError>
//! Broadcast::emit_with_ack(name, args) -> Result<Vec<Payload>, ..>  (async)
//! Broadcast::fetch_sockets(), sockets_join(rooms), sockets_leave(rooms), disconnect_sockets(close)
//! Namespace::server_side_emit(name, args), server_side_emit_with_ack(..), on_server_side(event, Fn(Payload, Option<ServerSideAck>))
//! Socket::id(), pid(), nsp(), handshake() (headers, query, auth, address, url, time), data(), set_data(key, value)
//! Socket::emit(name, args) -> Result<Done, PayloadError>, emit_with_ack(name, args, timeout) (async), volatile()
//! Socket::join(room) -> Done, leave(room), rooms(), to(room) / except(room) / broadcast() (without itself)
//! Socket::on(event, ..), disconnect(close), connected(), recovered()
//! Event::name(), payload() -> &Payload, get::<T>(index), len(), ack: event.ack(args) if the client asked for it
//! ```

mod local;

pub use local::Local;

//! The server: accepts connections, and lets them go.
//!
//! ```no_run
//! use socket_server::options::ServerOptions;
//! use socket_server::server::Server;
//!
//! # async fn run() -> std::io::Result<()> {
//! let server = Server::new(ServerOptions::default());
//! let io = server.io().root();
//! io.on("hello", |socket, event| {
//!     let name: String = event.get(0).unwrap_or_default();
//!     let _ = socket.emit("welcome", (name,));
//!     let _ = event.ack((true,));
//! });
//! io.on("join", |socket, event| {
//!     if let Ok(room) = event.get::<String>(0) {
//!         socket.join(room.clone());
//!         let _ = socket.to(room).emit("joined", (socket.id().to_string(),));
//!     }
//! });
//! server.serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?).await;
//! # Ok(())
//! # }
//! ```

mod accept;
mod connection;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use crate::engine::Fallback;
pub use connection::{Connection, Moved};

use crate::adapter::{Adapter, AdapterFactory, MemoryAdapter, MemoryOptions};
use crate::engine::{Acceptor, Conn, Engine, Session};
use crate::io::{Client, Io, IoInner};
use crate::options::ServerOptions;
use crate::stats::{NoObserver, Observer, Stats};

/// What a server is made of beside its options.
pub struct Builder {
    options: ServerOptions,
    adapter: AdapterFactory,
    observer: Arc<dyn Observer>,
    fallback: Fallback,
}

impl Builder {
    /// Shares rooms through this adapter; without it, the server is alone.
    #[must_use]
    pub fn adapter(mut self, adapter: AdapterFactory) -> Self {
        self.adapter = adapter;
        self
    }

    /// Tells this observer what takes time.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Answers requests that are not under the server's path; without it, with 404.
    #[must_use]
    pub fn fallback(mut self, fallback: Fallback) -> Self {
        self.fallback = fallback;
        self
    }

    /// The server. Must be called inside of a tokio runtime.
    pub fn build(self) -> Server {
        let Self { options, adapter, observer, fallback } = self;
        let stats = Arc::new(Stats::default());
        let io = Io::new(options.clone(), adapter, Arc::clone(&stats), observer);
        let engine = Engine::new(options.engine, Box::new(SocketIo(Arc::clone(&io.0))), stats);
        let (stop, _) = watch::channel(false);
        Server { inner: Arc::new(Inner { engine, io, fallback, stop }) }
    }
}

/// Each connection of the engine becomes a client of the Socket.IO layer.
struct SocketIo(Arc<IoInner>);

impl Acceptor for SocketIo {
    fn accept(&self, conn: &Arc<Conn>) -> Box<dyn Session> {
        Box::new(Client::new(Arc::clone(&self.0), conn))
    }
}

struct Inner {
    engine: Arc<Engine>,
    io: Io,
    fallback: Fallback,
    stop: watch::Sender<bool>,
}

/// A Socket.IO server. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

impl Server {
    /// A server that is alone. Must be called inside of a tokio runtime.
    pub fn new(options: ServerOptions) -> Self {
        Self::builder(options).build()
    }

    /// To say more than the options do.
    pub fn builder(options: ServerOptions) -> Builder {
        let memory =
            |local| Arc::new(MemoryAdapter::new(local, MemoryOptions::default())) as Arc<dyn Adapter>;
        Builder {
            options,
            adapter: Arc::new(memory),
            observer: Arc::new(NoObserver),
            fallback: Arc::new(|_| Box::pin(std::future::ready(not_found()))),
        }
    }

    /// The namespaces.
    pub fn io(&self) -> &Io {
        &self.inner.io
    }

    /// What the server counts.
    pub fn stats(&self) -> &Stats {
        self.inner.engine.stats()
    }

    /// Accepts connections until [`stop`](Self::stop). May be called for several listeners.
    pub async fn serve(&self, listener: TcpListener) {
        let mut stop = self.inner.stop.subscribe();
        tokio::select! {
            () = accept::run(Arc::clone(&self.inner.engine), listener, Arc::clone(&self.inner.fallback)) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// Ends [`serve`](Self::serve): the listeners close. Open connections stay.
    pub fn stop(&self) {
        self.inner.stop.send_replace(true);
    }

    /// Connections past the handshake.
    pub fn open_connections(&self) -> usize {
        self.inner.engine.open_connections()
    }

    /// Rooms with a member here, in all namespaces; the sockets' own are not counted.
    pub fn room_count(&self) -> usize {
        self.inner.io.namespaces().iter().map(|nsp| nsp.local_state().room_count()).sum()
    }

    /// Refuses new connections with HTTP 503 and this `Retry-After`, so that clients and proxies look elsewhere;
    /// `None` accepts them again.
    pub fn refuse_new(&self, retry_after: Option<Duration>) {
        self.inner.engine.refuse_new(retry_after);
    }

    /// The open connections, those that are closing included, in an order that does not change while they live.
    pub fn connections(&self) -> Vec<Connection> {
        self.inner.engine.connections().into_iter().map(Connection::new).collect()
    }
}

fn not_found() -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from_static(b"not found\n")));
    *answer.status_mut() = StatusCode::NOT_FOUND;
    answer
}

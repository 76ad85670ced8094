//! How a client joins a namespace: at once, or after its session was looked up and the middlewares have agreed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::client::Client;
use super::handlers::{ConnectError, Middleware};
use super::namespace::NamespaceInner;
use super::socket::{Socket, SocketInner};
use crate::adapter::{Hold, RestoredSession, SaveSessions};
use crate::engine::{Close, CloseReason, Conn, ID_LEN};
use crate::packet::{Packet, PacketType, Payload};

/// A goodbye longer ago is that of an earlier move: the client has been connected since, and its server was killed.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// How long a client that comes back may take for what it missed, before others have the memory for it.
const TAKES: Duration = Duration::from_secs(5);
/// Between two looks whether it has.
const LOOKS_EVERY: Duration = Duration::from_millis(20);

/// `recovery` is what the client says of the session before: its pid and the last offset that it has seen.
pub(super) fn run(
    client: &Client,
    conn: &Arc<Conn>,
    nsp: Arc<NamespaceInner>,
    auth: Option<Payload>,
    recovery: Option<(String, Option<String>)>,
) {
    let recovery = recovery.filter(|_| nsp.adapter().saves_sessions() != SaveSessions::Never);
    let handlers = &nsp.local().handlers;
    let (gates, middlewares) = (handlers.gates(), handlers.middlewares());
    if recovery.is_none() && gates.is_empty() && middlewares.is_empty() {
        let socket = SocketInner::new(&nsp, conn, auth, None);
        welcome(client, &socket);
        return;
    }
    let joining = Joining { conn: Arc::clone(conn), nsp, auth };
    tokio::spawn(async move {
        // The session belongs to the connection: it is there as long as this task holds that.
        let Some(client) = joining.conn.session::<Client>() else { return };
        match joining.negotiate(client, recovery, &gates, &middlewares).await {
            Ok(Joined::Recovered(socket)) => settle(client, &socket),
            Ok(Joined::New(socket)) => welcome(client, &socket),
            Err(error) => {
                client.io.stats.connect_errors.inc();
                client.refuse(&joining.conn, joining.nsp.name(), &error);
                client.joined(joining.nsp.name(), None);
            }
        }
    });
}

enum Joined {
    /// It has its place already.
    Recovered(Arc<SocketInner>),
    New(Arc<SocketInner>),
}

struct Joining {
    conn: Arc<Conn>,
    nsp: Arc<NamespaceInner>,
    auth: Option<Payload>,
}

impl Joining {
    async fn negotiate(
        &self,
        client: &Client,
        recovery: Option<(String, Option<String>)>,
        gates: &[Middleware],
        middlewares: &[Middleware],
    ) -> Result<Joined, ConnectError> {
        let socket = SocketInner::new(&self.nsp, &self.conn, self.auth.clone(), None);
        self.ask(&socket, gates).await?;
        let skip = client.io.options.recovery_skips_middlewares;
        if !skip {
            self.ask(&socket, middlewares).await?;
        }
        if let Some((pid, offset)) = &recovery
            && let Some(recovered) = self.recover(client, pid, offset.as_deref(), &socket).await
        {
            self.nsp.local().remove(&socket);
            return Ok(Joined::Recovered(recovered));
        }
        if skip {
            self.ask(&socket, middlewares).await?;
        }
        Ok(Joined::New(socket))
    }

    /// Asks whether a socket may join; one that may not is gone.
    async fn ask(&self, socket: &Arc<SocketInner>, middlewares: &[Middleware]) -> Result<(), ConnectError> {
        for middleware in middlewares {
            if let Err(error) = middleware(Socket(Arc::clone(socket))).await {
                self.nsp.local().remove(socket);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes the session out of the adapter's store and attaches its socket to this connection. `admitted` is the socket
    /// that the gates have seen.
    async fn recover(
        &self,
        client: &Client,
        pid: &str,
        offset: Option<&str>,
        admitted: &SocketInner,
    ) -> Option<Arc<SocketInner>> {
        self.close_left_behind(pid);
        let restored = self.nsp.adapter().restore_session(pid, offset).await;
        match restored {
            Some(mut restored) => {
                if let Value::Object(data) = &mut restored.session.data {
                    data.extend(admitted.data());
                }
                client.io.stats.recovered.inc();
                if let Some(goodbye) = &restored.session.goodbye
                    && goodbye.elapsed() < FORGOTTEN
                    && client.sockets().is_empty()
                {
                    client.io.observer.arrived(&goodbye.from, goodbye.elapsed());
                }
                Some(attach(client, &self.conn, &self.nsp, self.auth.clone(), restored))
            }
            None => {
                client.io.stats.not_recovered.inc();
                None
            }
        }
    }

    /// The client is back before its old connection here was found dead: that one goes first, and saves its
    /// session.
    fn close_left_behind(&self, pid: &str) {
        let old = pid.get(..ID_LEN).and_then(|id| self.nsp.local().socket(id));
        if let Some(Socket(old)) = old
            && old.pid.as_deref() == Some(pid)
        {
            old.conn.abort(CloseReason::TransportClose);
        }
    }
}

/// Rooms, welcome, then what was missed, while the adapter holds its log: what comes later comes by itself.
fn attach(
    client: &Client,
    conn: &Arc<Conn>,
    nsp: &Arc<NamespaceInner>,
    auth: Option<Payload>,
    restored: RestoredSession,
) -> Arc<SocketInner> {
    let RestoredSession { session, missed, more, memory, hold } = restored;
    let socket = SocketInner::new(nsp, conn, auth, Some(&session));
    // Before it counts as connected: were the connection to close in between, the session would be saved without
    // those rooms that it has not joined yet.
    for room in &session.rooms {
        let _ = nsp.local().join(&socket, room.clone());
    }
    let joined = client.admit(&socket) && socket.connected();
    if joined {
        for data in missed {
            socket.send(&Packet::new(PacketType::Event, nsp.name().clone(), Some(data)), false);
        }
        if more {
            conn.close(Close::slow());
        }
        keep_until_taken(conn, memory);
    }
    // Before anything else is asked of the adapter.
    drop(hold);
    if !joined {
        // The connection has gone meanwhile: the session goes back as it was.
        let _ = nsp.adapter().park_session(session);
    }
    socket
}

/// Until the client has taken what it was sent, or has had its time for it.
fn keep_until_taken(conn: &Arc<Conn>, memory: Hold) {
    if memory.is_empty() || conn.queued_bytes() == 0 {
        return;
    }
    let conn = Arc::downgrade(conn);
    let taken = async move {
        while conn.upgrade().is_some_and(|conn| conn.queued_bytes() > 0) {
            tokio::time::sleep(LOOKS_EVERY).await;
        }
    };
    tokio::spawn(async move {
        let _ = tokio::time::timeout(TAKES, taken).await;
        drop(memory);
    });
}

/// A new socket joins.
fn welcome(client: &Client, socket: &Arc<SocketInner>) {
    if client.admit(socket) {
        socket.connected();
    }
    settle(client, socket);
}

/// The socket has its place: the handlers see it, then its packets.
fn settle(client: &Client, socket: &Arc<SocketInner>) {
    let nsp = socket.nsp.name();
    if socket.is_connected() {
        let _ = socket.save_live();
        socket.nsp.local().handlers.connected(&Socket(Arc::clone(socket)));
    } else {
        socket.nsp.local().remove(socket);
    }
    client.joined(nsp, Some(socket));
}

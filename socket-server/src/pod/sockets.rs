//! The server's connections, as the drain and the shedding of load need them.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use parking_lot::Mutex;
use socketfleet_api::contract::{MAINTENANCE_EVENT, Maintenance};

use crate::drain::Sockets;
use crate::process::memory::Shedding;
use crate::server::{Connection, Server};

/// When a client that was refused is told to try again.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// For a client to be told, to get its answers and what waits for it, and to see the close: cut off before, it would
/// send again what was not answered. Longer than a busy node takes, and less than the grace period has beyond the
/// drain (15 s).
const LINGER: Duration = Duration::from_secs(8);

/// The connections of a server.
pub struct ServerSockets {
    /// Name of the server.
    instance: ByteString,
    server: Server,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    draining: bool,
    shedding: Shedding,
    /// Who is to leave next; filled again when it has run out.
    queue: VecDeque<Connection>,
    /// Told to leave and still open.
    leaving: HashSet<u64>,
}

impl ServerSockets {
    /// Those of `server`, which serves and bears this name.
    pub fn new(instance: &str, server: Server) -> Arc<Self> {
        Arc::new(Self { instance: instance.into(), server, state: Mutex::default() })
    }

    /// What is given up for want of memory.
    pub fn shedding(&self) -> Shedding {
        self.state.lock().shedding
    }

    /// Refuses new connections and drops volatile events, as far as `shedding` says so.
    pub fn shed(&self, shedding: Shedding) {
        let mut state = self.state.lock();
        state.shedding = shedding;
        self.admit(&state);
        drop(state);
        self.server.io().shed_volatile(shedding >= Shedding::DropVolatile);
    }

    /// Cuts the connections that most bytes wait for, until those are `excess` bytes: what waits is recovered when the client
    /// comes back, to a server with more memory.
    pub fn close_slowest(&self, excess: u64) {
        let mut waiting: Vec<(usize, Connection)> = self
            .server
            .connections()
            .into_iter()
            .map(|connection| (connection.queued_bytes(), connection))
            .filter(|(bytes, _)| *bytes > 0)
            .collect();
        waiting.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let (mut connections, mut freed) = (0, 0);
        for (bytes, connection) in waiting {
            if freed >= excess {
                break;
            }
            connection.cut();
            connections += 1;
            freed += bytes as u64;
        }
        tracing::warn!(connections, bytes = freed, "memory is short: the slowest clients are closed");
    }

    /// A drain and a want of memory both refuse new ones: only without either they are accepted.
    fn admit(&self, state: &State) {
        let refuse = state.draining || state.shedding >= Shedding::RefuseNew;
        self.server.refuse_new(refuse.then_some(RETRY_AFTER));
    }

    /// The next that has not been told; `None` when all have.
    fn next(&self, state: &mut State, refilled: &mut bool) -> Option<Connection> {
        loop {
            match state.queue.pop_front() {
                Some(next) if next.is_open() && !state.leaving.contains(&next.id()) => return Some(next),
                Some(_) => {}
                None if *refilled => return None,
                None => {
                    state.queue = self.server.connections().into();
                    *refilled = true;
                }
            }
        }
    }

    async fn see_off(self: Arc<Self>, connection: Connection, come_back: Duration) {
        let told = Maintenance::draining(come_back.as_millis() as u64);
        match connection.close_for_drain(&self.instance, MAINTENANCE_EVENT, (told,), LINGER) {
            Ok(moved) => {
                moved.await;
            }
            Err(error) => {
                tracing::error!(%error, "a client could not be told");
                connection.cut();
            }
        }
        self.state.lock().leaving.remove(&connection.id());
    }
}

impl Sockets for Arc<ServerSockets> {
    fn open(&self) -> u64 {
        self.server.open_connections() as u64
    }

    fn untold(&self) -> u64 {
        self.open().saturating_sub(self.state.lock().leaving.len() as u64)
    }

    fn set_accepting(&self, accepting: bool) {
        let mut state = self.state.lock();
        state.draining = !accepting;
        state.queue.clear();
        self.admit(&state);
    }

    fn recoverable(&self) -> bool {
        self.server.io().namespaces().iter().all(|namespace| namespace.adapter().recoverable())
    }

    fn move_away(&self, most: u64, spread: Duration) -> u64 {
        let mut refilled = false;
        let mut told = 0;
        while told < most {
            let mut state = self.state.lock();
            let Some(connection) = self.next(&mut state, &mut refilled) else { break };
            state.leaving.insert(connection.id());
            drop(state);
            let come_back = spread.mul_f64(told as f64 / most as f64);
            tokio::spawn(self.clone().see_off(connection, come_back));
            told += 1;
        }
        told
    }
}

//! One server alone: no broker, and recovery for as long as the process lives.

mod log;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytestring::ByteString;
use parking_lot::Mutex;

use super::{
    AckSink, Adapter, AdapterError, BoxFuture, BroadcastOptions, Done, Hold, RestoredSession, Room,
    SaveSessions, Session, SocketInfo,
};
use crate::io::Local;
use crate::packet::Payload;
use log::Log;

/// Recovery of the memory adapter; Node's `connectionStateRecovery`.
#[derive(Clone, Debug)]
pub struct MemoryOptions {
    /// How long a client may be away; zero turns recovery off.
    pub max_disconnection_duration: Duration,
    /// Bytes of events that are kept for those who are away. Beyond, the oldest go, and with them the recovery of
    /// clients that have not seen them.
    pub max_log_bytes: usize,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self { max_disconnection_duration: Duration::from_secs(120), max_log_bytes: 16 << 20 }
    }
}

/// The adapter of a server that has no others.
pub struct MemoryAdapter {
    local: Arc<Local>,
    options: MemoryOptions,
    /// Orders what is logged and what is handed to the sockets: a client's offset must mean that it has all that
    /// was logged before.
    state: Arc<Mutex<State>>,
}

struct State {
    log: Log,
    parked: HashMap<ByteString, Parked>,
}

struct Parked {
    session: Session,
    at: Instant,
}

impl MemoryAdapter {
    /// The adapter of `local`'s namespace. Must be called inside of a tokio runtime.
    pub fn new(local: Arc<Local>, options: MemoryOptions) -> Self {
        let keep = options.max_disconnection_duration;
        let log = Log::new(keep, options.max_log_bytes);
        let state = Arc::new(Mutex::new(State { log, parked: HashMap::new() }));
        if !keep.is_zero() {
            tokio::spawn(sweep(Arc::downgrade(&state), keep));
        }
        Self { local, options, state }
    }

    fn recovers(&self) -> bool {
        !self.options.max_disconnection_duration.is_zero()
    }
}

/// Lets go of what is too old, for as long as the adapter lives.
async fn sweep(state: Weak<Mutex<State>>, keep: Duration) {
    let pause = (keep / 4).max(Duration::from_millis(100));
    loop {
        tokio::time::sleep(pause).await;
        let Some(state) = state.upgrade() else { return };
        let now = Instant::now();
        let mut state = state.lock();
        state.log.forget_old(now);
        state.parked.retain(|_, parked| now.duration_since(parked.at) <= keep);
        state.parked.shrink_to_fit();
    }
}

impl Adapter for MemoryAdapter {
    fn broadcast(&self, data: Payload, options: BroadcastOptions) -> Done {
        if options.flags.volatile || !self.recovers() {
            self.local.broadcast(&data, &options);
            return Done::NOW;
        }
        let mut state = self.state.lock();
        let data = state.log.append(Instant::now(), data, &options);
        self.local.broadcast(&data, &options);
        Done::NOW
    }

    fn broadcast_with_ack(&self, data: Payload, options: BroadcastOptions, sink: Arc<dyn AckSink>) {
        self.local.broadcast_with_ack(&data, &options, sink);
    }

    fn add_sockets(&self, options: BroadcastOptions, rooms: Vec<Room>) {
        self.local.add_sockets(&options, &rooms);
    }

    fn del_sockets(&self, options: BroadcastOptions, rooms: Vec<Room>) {
        self.local.del_sockets(&options, &rooms);
    }

    fn disconnect_sockets(&self, options: BroadcastOptions, close: bool) {
        self.local.disconnect_sockets(&options, close);
    }

    fn fetch_sockets(
        &self,
        options: BroadcastOptions,
    ) -> BoxFuture<'_, Result<Vec<SocketInfo>, AdapterError>> {
        Box::pin(std::future::ready(Ok(self.local.sockets(&options))))
    }

    fn server_side_emit(&self, data: Payload) {
        // There are no others.
        drop(data);
    }

    fn server_side_emit_with_ack(
        &self,
        _data: Payload,
        _timeout: Duration,
    ) -> BoxFuture<'_, Result<Vec<Payload>, AdapterError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn server_count(&self) -> BoxFuture<'_, Result<usize, AdapterError>> {
        Box::pin(std::future::ready(Ok(1)))
    }

    fn saves_sessions(&self) -> SaveSessions {
        if self.recovers() { SaveSessions::OnDisconnect } else { SaveSessions::Never }
    }

    fn offset(&self) -> Option<ByteString> {
        self.recovers().then(|| self.state.lock().log.end())
    }

    fn persist_session(&self, session: Session) -> Done {
        self.park_session(session)
    }

    fn park_session(&self, session: Session) -> Done {
        self.state.lock().parked.insert(session.pid.clone(), Parked { session, at: Instant::now() });
        Done::NOW
    }

    fn forget_session(&self, pid: &str) {
        self.state.lock().parked.remove(pid);
    }

    fn restore_session<'a>(
        &'a self,
        pid: &'a str,
        offset: Option<&'a str>,
    ) -> BoxFuture<'a, Option<RestoredSession>> {
        let restore = || {
            let mut state = self.state.lock_arc();
            let Parked { session, at } = state.parked.remove(pid)?;
            if at.elapsed() > self.options.max_disconnection_duration {
                return None;
            }
            let since = offset.or(session.offset.as_deref())?;
            let missed = state.log.since(since, &session.rooms)?;
            Some(RestoredSession {
                session,
                missed,
                more: false,
                memory: Hold::default(),
                hold: Hold::new(state),
            })
        };
        Box::pin(std::future::ready(restore()))
    }
}

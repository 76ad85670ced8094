//! The Redis Streams adapter, compatible with `@socket.io/redis-streams-adapter`: every broadcast is an entry
//! of one stream that every server reads. What a client missed can be read again: connection state recovery.
//!
//! | file | what |
//! |---|---|
//! | `outbox` (pure), `publisher` | own publications until they have come back |
//! | `log` (pure), `reader` | the stream, in order, to this server's sockets |
//! | `sessions`, `recovery` | what a client comes back to, and what it has missed |

mod log;
mod offset;
mod outbox;
mod publisher;
mod reader;
mod recovery;
mod sessions;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, oneshot, watch};

use self::log::Log;
use self::offset::{Offset, Origin};
use self::outbox::Outbox;
use self::recovery::ReplayMemory;
use self::sessions::Sessions;
use super::action::Action;
use super::channels::Channels;
use super::client::{Reader, Redis, RedisError, RedisObserver};
use super::cluster::{Cluster, Wire, requests_of_cluster};
use super::entry_id::EntryId;
use super::envelope;
use super::message::Message;
use super::requests::random_id;
use super::sockets::Sockets;
use super::subscriptions::{Burst, Published};
use crate::adapter::{
    AckSink, Adapter, AdapterError, AdapterFactory, BoxFuture, BroadcastOptions, Done, RestoredSession, Room,
    SaveSessions, Session, SocketInfo,
};
use crate::packet::Payload;

/// After a round trip that had room for more, the next one waits so long: under load it carries what has gathered,
/// and a round trip costs many times what an entry in it does. The first after a pause waits for nothing.
const GATHER: Duration = Duration::from_millis(2);

/// For so long after Redis has lost its data another server may not have noticed: its connections are made anew within
/// seconds, with pauses of up to one.
const REWRITTEN: Duration = Duration::from_secs(10);

/// How the streams adapter is set up; all servers of a fleet alike.
#[derive(Clone, Debug)]
pub struct StreamsOptions {
    /// The stream's key. Node's default is `socket.io`.
    pub stream: String,
    /// Begin of the pub/sub channels' names. It must not be that of a classic adapter on the same Redis.
    pub channel_prefix: String,
    /// Begin of the sessions' keys.
    pub session_prefix: String,
    /// Entries that the stream keeps, about.
    pub max_len: u64,
    /// Entries that are read at once, at most.
    pub read_count: u64,
    /// How long a client may be away and come back to its session; none without recovery.
    pub recovery: Option<Duration>,
    /// Bytes of events that a client which comes back is sent at once, about. For more it comes back again.
    pub max_replay_bytes: usize,
    /// Bytes of events read from Redis for clients that come back, which all of them together may take, about.
    pub replay_memory: usize,
    /// Whether the requests between servers go by sharded pub/sub (Redis 7).
    pub sharded_pubsub: bool,
}

impl Default for StreamsOptions {
    fn default() -> Self {
        Self {
            stream: "socket.io-stream".into(),
            channel_prefix: "socket.io".into(),
            session_prefix: "sio:session:".into(),
            max_len: 10_000,
            read_count: 100,
            recovery: Some(Duration::from_secs(120)),
            max_replay_bytes: 4 << 20,
            replay_memory: 64 << 20,
            sharded_pubsub: false,
        }
    }
}

/// A server's part in the stream: one for all of its namespaces.
#[derive(Clone)]
pub struct Streams(Arc<Hub>);

impl Streams {
    /// Starts reading, publishing and keeping sessions, in the background and until the runtime ends. Redis
    /// need not be there.
    pub fn start(
        url: &str,
        options: StreamsOptions,
        observer: Arc<dyn RedisObserver>,
    ) -> Result<Self, RedisError> {
        let redis = Redis::connect(url, observer)?;
        let (channels, messages) =
            Channels::start(&redis, options.channel_prefix.clone(), options.sharded_pubsub, Burst::Requests)?;
        let reader = redis.reader(&options.stream)?;
        let hub = Arc::new(Hub {
            uid: random_id().into(),
            redis,
            channels,
            namespaces: RwLock::default(),
            outbox: Mutex::default(),
            published: Notify::new(),
            interrupted: Mutex::default(),
            position: watch::Sender::new(None),
            log: Arc::new(tokio::sync::Mutex::new(Log::starting_at(EntryId::START))),
            sessions: Sessions::default(),
            replay_memory: ReplayMemory::new(options.replay_memory),
            working: AtomicU8::new(0),
            options,
        });
        tokio::spawn(run(hub.clone(), reader));
        tokio::spawn(sessions::write(hub.clone()));
        tokio::spawn(sessions::refresh(hub.clone()));
        tokio::spawn(receive(hub.clone(), messages));
        Ok(Self(hub))
    }

    /// Waits until the stream is being read: sockets that are accepted from then on miss nothing.
    pub async fn ready(&self) {
        let _ = self.0.position.subscribe().wait_for(Option::is_some).await;
    }

    /// Makes the adapters of the namespaces.
    pub fn factory(&self) -> AdapterFactory {
        let hub = self.0.clone();
        Arc::new(move |local| Arc::new(StreamsAdapter::new(hub.clone(), local)))
    }
}

/// Reads and writes for ever. Who is ready to read is ready to write: what is published then goes through the stream.
async fn run(hub: Arc<Hub>, reader: Reader) {
    let writer = publisher::connect(&hub).await;
    tokio::spawn(publisher::run(hub.clone(), writer));
    reader::run(hub, reader).await;
}

/// What the adapters of the namespaces share.
struct Hub {
    uid: ByteString,
    redis: Redis,
    channels: Channels,
    options: StreamsOptions,
    namespaces: RwLock<HashMap<ByteString, Namespace>>,
    outbox: Mutex<Outbox<Publication>>,
    /// Something is in the outbox, or reading was interrupted.
    published: Notify,
    /// Reading was interrupted after this entry, and has gone on.
    interrupted: Mutex<Option<EntryId>>,
    /// How far the stream has been handed to the sockets; none before it has been reached.
    position: watch::Sender<Option<EntryId>>,
    /// Locked while entries are handed to the sockets, and while a recovered socket enters its rooms.
    log: Arc<tokio::sync::Mutex<Log>>,
    sessions: Sessions,
    replay_memory: ReplayMemory,
    /// Bits: reading works, writing works.
    working: AtomicU8,
}

#[derive(Clone)]
struct Namespace {
    local: Arc<dyn Sockets>,
    cluster: Arc<Cluster>,
}

/// Something to be published, and who waits until own sockets have it.
struct Publication {
    nsp: ByteString,
    action: Action,
    done: Mutex<Option<oneshot::Sender<()>>>,
}

impl Publication {
    /// Own sockets have it.
    fn is_done(&self) {
        if let Some(done) = self.done.lock().take() {
            let _ = done.send(());
        }
    }
}

const READING: u8 = 1;
const WRITING: u8 = 2;

impl Hub {
    fn namespace(&self, name: &str) -> Option<Namespace> {
        self.namespaces.read().get(name).cloned()
    }

    /// Takes note whether reading or writing works, and tells when that changes the whole.
    fn works(&self, what: u8, now: bool) {
        let before = match now {
            true => self.working.fetch_or(what, Ordering::AcqRel),
            false => self.working.fetch_and(!what, Ordering::AcqRel),
        };
        let after = if now { before | what } else { before & !what };
        let whole = |bits| bits == READING | WRITING;
        if whole(before) != whole(after) {
            self.redis.observer().connected(whole(after));
            match whole(after) {
                true => tracing::info!("Redis can be used"),
                false => tracing::warn!(
                    "Redis is away: broadcasts reach the sockets of this server alone, and wait"
                ),
            }
        }
    }

    /// Redis has lost the sessions: those of the sockets here, and of those that have just left, are written again.
    fn save_sessions_again(self: &Arc<Self>) {
        if self.options.recovery.is_none() {
            return;
        }
        self.sessions.all_lost();
        let namespaces: Vec<_> = self.namespaces.read().values().cloned().collect();
        namespaces.iter().for_each(|namespace| namespace.local.save_sessions());
        let (hub, written) = (Arc::clone(self), self.sessions.written());
        tokio::spawn(async move {
            written.wait().await;
            hub.sessions.found_again();
        });
    }

    /// Whether reading and writing work.
    fn is_whole(&self) -> bool {
        self.working.load(Ordering::Acquire) == READING | WRITING
    }

    /// Whether Redis has what another server needs to recover a client that stands where this server stands.
    fn recoverable(&self) -> bool {
        self.options.recovery.is_none()
            || (self.redis.is_connected()
                && self.is_whole()
                && self.outbox.lock().ahead().is_none()
                && !self.sessions.are_lost()
                // Another server may still have to write what this one's sockets have not got.
                && !self.sessions.were_lost_within(REWRITTEN))
    }

    /// Whether what is missing in Redis may still be written again by the server that has it.
    async fn has_just_lost_data(&self) -> Result<bool, RedisError> {
        if self.sessions.were_lost_within(REWRITTEN) {
            return Ok(true);
        }
        // The reader may not have noticed yet.
        let Some(position) = *self.position.borrow() else { return Ok(true) };
        Ok(self.redis.range(&self.options.stream, position, position, 1).await?.is_empty())
    }

    /// What a client that is given an event now stands at, once the stream has been handed out up to `id`.
    fn offset(&self, id: EntryId) -> Offset {
        let ahead = self.outbox.lock().ahead();
        Offset { id, ahead: ahead.map(|seq| Origin { uid: self.uid.clone(), seq }) }
    }

    fn publish(&self, nsp: &ByteString, action: Action) -> Done {
        let (sender, done) = Done::later();
        let size = action.size();
        let publication = Publication { nsp: nsp.clone(), action, done: Mutex::new(Some(sender)) };
        let given_up = self.outbox.lock().push(publication, size);
        if given_up > 0 {
            tracing::error!(
                given_up,
                "the queue for Redis is full: other servers will not get the oldest broadcasts"
            );
            (0..given_up).for_each(|_| self.redis.observer().error("given_up"));
        }
        self.serve_ahead();
        self.published.notify_one();
        done
    }

    /// Hands own sockets what they are to get before the stream has it: nothing, while Redis works.
    fn serve_ahead(&self) {
        let mut again = false;
        loop {
            let Some(item) = self.outbox.lock().next_to_serve(again) else { return };
            again = true;
            let id = self.position.borrow().unwrap_or(EntryId::START);
            let ahead = Some(Origin { uid: self.uid.clone(), seq: item.seq });
            self.serve(&item.value, &Offset { id, ahead }.to_string());
            item.value.is_done();
        }
    }

    fn serve(&self, publication: &Publication, offset: &str) {
        if let Some(Namespace { local, .. }) = self.namespace(&publication.nsp) {
            let offset = self.options.recovery.is_some().then_some(offset);
            publication.action.apply(&*local, offset);
        }
    }
}

/// Requests and answers, which need no storing, go by pub/sub.
impl Wire for Hub {
    fn publish(&self, nsp: &str, message: &Message<'_>, attachments: &[Bytes]) {
        self.send(self.channels.of(nsp), nsp, message, attachments);
    }

    fn respond(&self, nsp: &str, to: &str, message: &Message<'_>, attachments: &[Bytes]) {
        self.send(self.channels.within(nsp, to), nsp, message, attachments);
    }

    fn others<'a>(&'a self, nsp: &'a str) -> BoxFuture<'a, Result<usize, AdapterError>> {
        Box::pin(async move { self.channels.others(&self.channels.of(nsp)).await })
    }
}

impl Hub {
    fn send(&self, channel: String, nsp: &str, message: &Message<'_>, attachments: &[Bytes]) {
        self.channels.send(channel, envelope::ephemeral(&self.uid, nsp, message, attachments));
    }
}

/// Handles what comes by pub/sub.
async fn receive(hub: Arc<Hub>, mut messages: tokio::sync::mpsc::Receiver<Published>) {
    while let Some(Published { channel, payload }) = messages.recv().await {
        let received = envelope::from_pubsub(&payload).and_then(|envelope| {
            match hub.namespace(&envelope.nsp) {
                Some(Namespace { cluster, .. }) if envelope.uid != *hub.uid => {
                    cluster.receive(&envelope, envelope.message()?);
                }
                _ => {}
            }
            Ok(())
        });
        if let Err(error) = received {
            hub.channels.not_understood(&channel, &error);
        }
    }
}

/// The adapter of one namespace.
struct StreamsAdapter {
    hub: Arc<Hub>,
    nsp: ByteString,
    namespace: Namespace,
}

impl StreamsAdapter {
    fn new(hub: Arc<Hub>, local: Arc<dyn Sockets>) -> Self {
        let nsp = local.namespace().clone();
        let cluster = Arc::new(Cluster::new(local.clone(), hub.clone()));
        let namespace = Namespace { local, cluster };
        hub.namespaces.write().insert(nsp.clone(), namespace.clone());
        hub.channels.subscribe(hub.channels.of(&nsp));
        hub.channels.subscribe(hub.channels.within(&nsp, &hub.uid));
        Self { hub, nsp, namespace }
    }
}

impl Adapter for StreamsAdapter {
    fn broadcast(&self, data: Payload, options: BroadcastOptions) -> Done {
        if options.flags.local {
            let offset = Adapter::offset(self);
            Action::Broadcast { data, options }.apply(&*self.namespace.local, offset.as_deref());
            return Done::NOW;
        }
        self.hub.publish(&self.nsp, Action::Broadcast { data, options })
    }

    fn add_sockets(&self, options: BroadcastOptions, rooms: Vec<Room>) {
        match options.flags.local {
            true => self.namespace.local.add_sockets(&options, &rooms),
            false => drop(self.hub.publish(&self.nsp, Action::Join { options, rooms })),
        }
    }

    fn del_sockets(&self, options: BroadcastOptions, rooms: Vec<Room>) {
        match options.flags.local {
            true => self.namespace.local.del_sockets(&options, &rooms),
            false => drop(self.hub.publish(&self.nsp, Action::Leave { options, rooms })),
        }
    }

    fn disconnect_sockets(&self, options: BroadcastOptions, close: bool) {
        match options.flags.local {
            true => self.namespace.local.disconnect_sockets(&options, close),
            false => drop(self.hub.publish(&self.nsp, Action::Disconnect { options, close })),
        }
    }

    requests_of_cluster!(namespace.cluster);

    fn saves_sessions(&self) -> SaveSessions {
        match self.hub.options.recovery {
            Some(_) => SaveSessions::Always,
            None => SaveSessions::Never,
        }
    }

    fn offset(&self) -> Option<ByteString> {
        self.hub.options.recovery?;
        let id = (*self.hub.position.borrow())?;
        Some(self.hub.offset(id).to_string().into())
    }

    fn recoverable(&self) -> bool {
        self.hub.recoverable()
    }

    fn persist_session(&self, session: Session) -> Done {
        self.hub.sessions.save(session, true)
    }

    fn park_session(&self, session: Session) -> Done {
        self.hub.sessions.save(session, false)
    }

    fn forget_session(&self, pid: &str) {
        self.hub.sessions.forget(pid);
    }

    fn restore_session<'a>(
        &'a self,
        pid: &'a str,
        offset: Option<&'a str>,
    ) -> BoxFuture<'a, Option<RestoredSession>> {
        Box::pin(recovery::restore(&self.hub, &self.nsp, pid, offset))
    }

    fn close(&self) {
        self.hub.namespaces.write().remove(&self.nsp);
        self.hub.channels.unsubscribe(self.hub.channels.of(&self.nsp));
        self.hub.channels.unsubscribe(self.hub.channels.within(&self.nsp, &self.hub.uid));
    }
}

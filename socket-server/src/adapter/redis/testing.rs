//! A real Redis of a test's own, and sockets without connections.

// The tests of whole servers use more of it.
#[allow(dead_code)]
mod redis_server;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use parking_lot::Mutex;

pub use self::redis_server::RedisServer;
use super::sockets::Sockets;
use crate::adapter::{AckSink, Adapter, BroadcastOptions, Room, ServerSideAck, SocketInfo};
use crate::packet::{Binary, Payload};

/// Waits until `condition` holds.
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[derive(Clone, Debug, Default)]
pub struct FakeSocket {
    pub rooms: Vec<Room>,
    pub received: Vec<Payload>,
    pub disconnected: bool,
}

/// The sockets of a namespace, which remember what they get.
pub struct FakeSockets {
    nsp: ByteString,
    pub sockets: Mutex<BTreeMap<ByteString, FakeSocket>>,
    pub server_side: Mutex<Vec<Payload>>,
    /// How often they were to save their sessions.
    pub asked_for_sessions: Mutex<usize>,
}

impl FakeSockets {
    pub fn new(nsp: &'static str) -> Arc<Self> {
        Arc::new(Self {
            nsp: nsp.into(),
            sockets: Mutex::default(),
            server_side: Mutex::default(),
            asked_for_sessions: Mutex::default(),
        })
    }

    /// A socket comes, into its own room and others.
    pub fn connect(&self, id: &str, rooms: &[&str]) {
        let rooms = std::iter::once(&id).chain(rooms).map(|&room| ByteString::from(room)).collect();
        self.sockets.lock().insert(id.into(), FakeSocket { rooms, ..FakeSocket::default() });
    }

    /// What a socket has got.
    pub fn received(&self, id: &str) -> Vec<Payload> {
        self.sockets.lock().get(id).map(|socket| socket.received.clone()).unwrap_or_default()
    }

    fn each(&self, options: &BroadcastOptions, mut act: impl FnMut(&ByteString, &mut FakeSocket)) -> usize {
        let mut count = 0;
        for (id, socket) in self.sockets.lock().iter_mut() {
            let in_any = |rooms: &[Room]| rooms.iter().any(|room| socket.rooms.contains(room));
            if (options.rooms.is_empty() || in_any(&options.rooms)) && !in_any(&options.except) {
                act(id, socket);
                count += 1;
            }
        }
        count
    }
}

impl Sockets for FakeSockets {
    fn namespace(&self) -> &ByteString {
        &self.nsp
    }

    fn broadcast(&self, data: &Payload, options: &BroadcastOptions) -> usize {
        self.each(options, |_, socket| socket.received.push(data.clone()))
    }

    /// Each socket answers at once with its id and the first argument.
    fn broadcast_with_ack(&self, data: &Payload, options: &BroadcastOptions, sink: Arc<dyn AckSink>) {
        let mut ids = Vec::new();
        sink.clients(self.each(options, |id, _| ids.push(id.to_string())));
        for id in ids {
            let value: serde_json::Value = data.get(1).unwrap_or_default();
            sink.ack(Payload::ack(((id, value),)).unwrap());
        }
    }

    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) {
        self.each(options, |_, socket| socket.rooms.extend_from_slice(rooms));
    }

    fn del_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) {
        self.each(options, |_, socket| socket.rooms.retain(|room| !rooms.contains(room)));
    }

    fn disconnect_sockets(&self, options: &BroadcastOptions, _close: bool) {
        self.each(options, |_, socket| socket.disconnected = true);
    }

    fn sockets(&self, options: &BroadcastOptions) -> Vec<SocketInfo> {
        let mut found = Vec::new();
        self.each(options, |id, socket| {
            let (handshake, data) =
                (serde_json::json!({"query": {}}), serde_json::json!({"name": id.to_string()}));
            found.push(SocketInfo { id: id.clone(), handshake, rooms: socket.rooms.clone(), data });
        });
        found
    }

    fn rooms(&self) -> Vec<Room> {
        self.sockets.lock().values().flat_map(|socket| socket.rooms.clone()).collect()
    }

    fn save_sessions(&self) {
        *self.asked_for_sessions.lock() += 1;
    }

    /// Answers with what it was sent.
    fn server_side_emit(&self, data: Payload, ack: Option<ServerSideAck>) {
        self.server_side.lock().push(data.clone());
        if let Some(ack) = ack {
            let value: serde_json::Value = data.get(1).unwrap_or_default();
            ack(Payload::ack((value,)).unwrap());
        }
    }
}

/// A server of a test: an adapter and the sockets behind it.
pub struct Server<A: ?Sized> {
    pub sockets: Arc<FakeSockets>,
    pub adapter: Arc<A>,
}

impl<A: Adapter + ?Sized> Server<A> {
    /// A socket comes; what is published from now on reaches it.
    pub async fn connect(&self, id: &str, rooms: &[&str]) {
        self.sockets.connect(id, rooms);
        for room in rooms.iter().chain([&id]) {
            self.adapter.room_created(&ByteString::from(*room)).wait().await;
        }
    }
}

/// An event with a number.
pub fn event(n: u64) -> Payload {
    Payload::event("n", (n,)).unwrap()
}

/// The numbers of the events that a socket got.
pub fn numbers(received: &[Payload]) -> Vec<u64> {
    received.iter().map(|data| data.get(1).unwrap()).collect()
}

/// What every adapter has to do between two servers that have found each other.
pub async fn two_servers_act_as_one<A: Adapter, B: Adapter>(a: &Server<A>, b: &Server<B>) {
    a.connect("x", &[]).await;
    b.connect("y", &["r"]).await;
    let found = async {
        for server in [&*a.adapter as &dyn Adapter, &*b.adapter] {
            while server.server_count().await.ok() != Some(2) {}
        }
    };
    tokio::time::timeout(Duration::from_secs(30), found).await.expect("they find each other");

    a.adapter.broadcast(event(1), BroadcastOptions::default());
    a.adapter.broadcast(event(2), BroadcastOptions::room("r"));
    a.adapter.broadcast(event(3), BroadcastOptions::room("elsewhere"));
    a.adapter.broadcast(
        event(4),
        BroadcastOptions { rooms: ["r".into(), "s".into()].into_iter().collect(), ..Default::default() },
    );
    a.adapter.broadcast(
        event(5),
        BroadcastOptions { except: ["r".into()].into_iter().collect(), ..Default::default() },
    );
    a.adapter.broadcast(event(6), BroadcastOptions::room("y"));
    eventually("the other server's socket has its four", || {
        numbers(&b.sockets.received("y")) == [1, 2, 4, 6]
    })
    .await;
    eventually("its own has its two", || numbers(&a.sockets.received("x")) == [1, 5]).await;

    let buffers =
        Payload::event("b", (Binary::from(vec![0u8, 255]), serde_json::json!({"deep": 1}))).unwrap();
    a.adapter.broadcast(buffers, BroadcastOptions::room("r"));
    eventually("a buffer", || {
        let received = b.sockets.received("y");
        received.last().is_some_and(|data| data.get::<Binary>(1).is_ok_and(|b| b.0 == [0, 255][..]))
    })
    .await;

    a.adapter.add_sockets(BroadcastOptions::room("r"), vec!["s".into()]);
    eventually("joined", || b.sockets.sockets.lock()["y"].rooms.contains(&"s".into())).await;
    a.adapter.del_sockets(BroadcastOptions::room("s"), vec!["r".into()]);
    eventually("left", || !b.sockets.sockets.lock()["y"].rooms.contains(&"r".into())).await;

    let found = a.adapter.fetch_sockets(BroadcastOptions::default()).await.unwrap();
    let ids: Vec<_> = found.iter().map(|s| (&*s.id, s.data["name"].clone(), s.rooms.len())).collect();
    assert_eq!(ids, [("x", "x".into(), 1), ("y", "y".into(), 2)]);

    a.adapter.server_side_emit(Payload::event("news", (1,)).unwrap());
    eventually("news", || b.sockets.server_side.lock().len() == 1).await;
    let question = Payload::event("question", ("why",)).unwrap();
    let answers = a.adapter.server_side_emit_with_ack(question, Duration::from_secs(5)).await.unwrap();
    assert_eq!(answers, [Payload::ack(("why",)).unwrap()]);
    assert!(a.sockets.server_side.lock().is_empty());

    let sink = Arc::new(Sink::default());
    a.adapter.broadcast_with_ack(event(7), BroadcastOptions::default(), sink.clone());
    eventually("two answers of clients", || sink.acks.lock().len() == 2).await;
    eventually("two counts", || sink.counts.lock().len() == 2).await;
    assert_eq!(*sink.counts.lock(), [1, 1]);
    assert_eq!(*sink.acks.lock(), [serde_json::json!(["x", 7]), serde_json::json!(["y", 7])]);

    a.adapter.disconnect_sockets(BroadcastOptions::room("s"), true);
    eventually("disconnected", || b.sockets.sockets.lock()["y"].disconnected).await;
    assert!(!a.sockets.sockets.lock()["x"].disconnected);
}

/// What an adapter with a channel for each room has to do. `count` is the command that counts a channel's subscribers.
pub async fn only_rooms_that_are_here_are_subscribed_to<A: Adapter>(
    redis: &RedisServer,
    a: &Server<A>,
    count: &str,
) {
    a.connect("x", &["r"]).await;
    assert!(is_subscribed(redis, count, "r", 1) && !is_subscribed(redis, count, "s", 1));
    a.adapter.room_deleted(&"r".into());
    eventually("unsubscribed", || !is_subscribed(redis, count, "r", 1)).await;
}

/// What it has to do when Redis was away.
pub async fn subscriptions_come_back_with_redis<A: Adapter>(
    mut redis: RedisServer,
    [a, b]: [Server<A>; 2],
    count: &str,
) {
    a.connect("x", &["r"]).await;
    b.connect("y", &["r"]).await;
    redis.kill();
    // Local delivery goes on meanwhile.
    a.adapter.broadcast(event(1), BroadcastOptions::room("r")).wait().await;
    assert_eq!(numbers(&a.sockets.received("x")), [1]);
    redis.start_again();
    eventually("both are subscribed again", || is_subscribed(&redis, count, "r", 2)).await;
    b.adapter.broadcast(event(2), BroadcastOptions::room("r"));
    eventually("it arrives", || numbers(&a.sockets.received("x")).contains(&2)).await;
}

fn is_subscribed(redis: &RedisServer, count: &str, room: &str, servers: usize) -> bool {
    redis.cli(&["PUBSUB", count, &format!("socket.io#/#{room}#")]).ends_with(&format!("\n{servers}\n"))
}

/// Remembers the answers to a broadcast.
#[derive(Default)]
pub struct Sink {
    pub counts: Mutex<Vec<usize>>,
    pub acks: Mutex<Vec<serde_json::Value>>,
}

impl AckSink for Sink {
    fn clients(&self, count: usize) {
        self.counts.lock().push(count);
    }
    fn ack(&self, data: Payload) {
        self.acks.lock().push(data.get(0).unwrap());
    }
}

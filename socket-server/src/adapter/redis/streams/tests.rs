//! Servers that share a stream on a real Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::{Streams, StreamsAdapter, StreamsOptions};
use crate::adapter::redis::client::Unobserved;
use crate::adapter::redis::testing::{
    self, FakeSocket, FakeSockets, RedisServer, event, eventually, numbers,
};
use crate::adapter::{Adapter, BroadcastOptions, Goodbye, Session};
use crate::packet::Payload;

type Server = testing::Server<StreamsAdapter>;

async fn server(redis: &RedisServer) -> Server {
    server_with(redis, StreamsOptions::default()).await
}

async fn server_with(redis: &RedisServer, options: StreamsOptions) -> Server {
    let streams = Streams::start(&redis.url(), options, Arc::new(Unobserved)).unwrap();
    streams.ready().await;
    let sockets = FakeSockets::new("/");
    let adapter = Arc::new(StreamsAdapter::new(streams.0.clone(), sockets.clone()));
    Server { sockets, adapter }
}

fn last_offset(received: &[Payload]) -> Option<String> {
    received.last().map(|data| data.get(2).unwrap())
}

#[tokio::test]
async fn all_servers_get_all_broadcasts_in_one_order_with_one_offset() {
    let redis = RedisServer::start();
    let (a, b) = (server(&redis).await, server(&redis).await);
    a.sockets.connect("x", &["r"]);
    b.sockets.connect("y", &["r"]);
    for n in 0..500 {
        let from = if n % 2 == 0 { &a } else { &b };
        from.adapter.broadcast(event(n), BroadcastOptions::room("r"));
    }
    let counts = || (a.sockets.received("x").len(), b.sockets.received("y").len());
    eventually("500 events on both", || counts() == (500, 500)).await;
    assert_eq!(a.sockets.received("x"), b.sockets.received("y"));
    let mut seen = numbers(&a.sockets.received("x"));
    seen.sort_unstable();
    assert_eq!(seen, (0..500).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_broadcast_is_done_when_own_sockets_have_it() {
    let redis = RedisServer::start();
    let a = server(&redis).await;
    a.sockets.connect("x", &[]);
    a.adapter.broadcast(event(1), BroadcastOptions::default()).wait().await;
    assert_eq!(a.sockets.received("x").len(), 1);
}

#[tokio::test]
async fn two_servers_act_as_one() {
    let redis = RedisServer::start();
    testing::two_servers_act_as_one(&server(&redis).await, &server(&redis).await).await;
}

fn session(server: &Server, id: &str, rooms: &[&str]) -> Session {
    Session {
        sid: id.into(),
        pid: format!("secret-{id}").into(),
        rooms: std::iter::once(&id).chain(rooms).map(|&r| r.into()).collect(),
        data: json!({"name": id}),
        offset: server.adapter.offset(),
        goodbye: None,
    }
}

/// A client that comes back to a server, as the core does it.
async fn come_back(server: &Server, id: &str, offset: Option<&str>) -> Option<Vec<Payload>> {
    let restored = server.adapter.restore_session(&format!("secret-{id}"), offset).await?;
    let socket = FakeSocket { rooms: restored.session.rooms, ..FakeSocket::default() };
    // As a slow core would: what happens now must wait for the hold.
    std::thread::yield_now();
    server.sockets.sockets.lock().insert(id.into(), socket);
    Some(restored.missed)
}

/// A sender that never pauses for long, alternating between the servers, until stopped.
fn traffic(servers: &[&Server]) -> (Arc<AtomicBool>, tokio::task::JoinHandle<u64>) {
    let adapters: Vec<_> = servers.iter().map(|s| s.adapter.clone()).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let task = tokio::spawn(async move {
        let mut n = 0;
        while !stopped.load(Ordering::Relaxed) {
            for _ in 0..3 {
                // One sender in order: the next goes out when this one has landed, or the order between two
                // servers is anybody's.
                let options =
                    [BroadcastOptions::room("r"), BroadcastOptions::default(), BroadcastOptions::room("x")];
                let adapter = &adapters[(n / 50) as usize % adapters.len()];
                let done = adapter.broadcast(event(n), options[n as usize % 3].clone());
                if n % 50 == 49 {
                    done.wait().await;
                }
                n += 1;
            }
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        n
    });
    (stop, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_moves_between_servers_under_traffic_gets_each_event_once() {
    let redis = RedisServer::start();
    let servers = [server(&redis).await, server(&redis).await, server(&redis).await];
    let at = servers[0].adapter.offset();
    assert!(at.is_some());
    servers[0].sockets.connect("x", &["r"]);
    servers[0].adapter.persist_session(session(&servers[0], "x", &["r"])).wait().await;
    let (stop, task) = traffic(&[&servers[0], &servers[1], &servers[2]]);

    let (mut got, mut offset): (Vec<u64>, Option<String>) = (Vec::new(), None);
    for round in 0..60 {
        let (here, next) = (&servers[round % 3], &servers[(round + 1) % 3]);
        tokio::time::sleep(Duration::from_millis(round as u64 * 7 % 23)).await;
        // The connection breaks: what was received up to some point counts, the rest never arrived.
        let socket = here.sockets.sockets.lock().remove("x").unwrap();
        let arrived = &socket.received[..socket.received.len() - (round % 4).min(socket.received.len())];
        got.extend(numbers(arrived));
        offset = last_offset(arrived).or(offset);
        if round % 5 == 0 {
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        let missed = come_back(next, "x", offset.as_deref()).await.expect("recovered");
        got.extend(numbers(&missed));
        offset = last_offset(&missed).or(offset);
    }
    stop.store(true, Ordering::Relaxed);
    let sent = task.await.unwrap();
    let last = &servers[0];
    eventually("the rest", || (got.len() + last.sockets.received("x").len()) as u64 >= sent).await;
    got.extend(numbers(&last.sockets.received("x")));
    assert!(sent > 500);
    assert_eq!(got, (0..sent).collect::<Vec<_>>());
}

/// What it has missed is read from Redis, and may reach further than what has been handed out there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_moves_to_servers_that_have_just_started_gets_each_event_once() {
    let redis = RedisServer::start();
    let sender = server(&redis).await;
    let mut here = server(&redis).await;
    here.sockets.connect("x", &["r"]);
    here.adapter.persist_session(session(&here, "x", &["r"])).wait().await;
    let (stop, task) = traffic(&[&sender]);

    let (mut got, mut offset): (Vec<u64>, Option<String>) = (Vec::new(), None);
    for _ in 0..20 {
        eventually("events", || here.sockets.received("x").len() > 20).await;
        let received = here.sockets.sockets.lock().remove("x").unwrap().received;
        got.extend(numbers(&received));
        offset = last_offset(&received).or(offset);
        here = server(&redis).await;
        let missed = come_back(&here, "x", offset.as_deref()).await.expect("recovered");
        got.extend(numbers(&missed));
        offset = last_offset(&missed).or(offset);
    }
    stop.store(true, Ordering::Relaxed);
    let sent = task.await.unwrap();
    eventually("the rest", || (got.len() + here.sockets.received("x").len()) as u64 >= sent).await;
    got.extend(numbers(&here.sockets.received("x")));
    assert_eq!(got, (0..sent).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_client_that_has_had_no_event_is_recovered_from_its_start() {
    let redis = RedisServer::start();
    let (a, b) = (server(&redis).await, server(&redis).await);
    a.adapter.broadcast(event(0), BroadcastOptions::default()).wait().await;
    a.sockets.connect("x", &[]);
    a.adapter.persist_session(session(&a, "x", &[])).wait().await;
    a.adapter.broadcast(event(1), BroadcastOptions::default()).wait().await;
    let missed = come_back(&b, "x", None).await.unwrap();
    assert_eq!(numbers(&missed), [1]);
}

#[tokio::test]
async fn what_is_not_in_memory_is_read_from_redis() {
    let redis = RedisServer::start();
    let a = server(&redis).await;
    a.adapter.persist_session(session(&a, "x", &["r"])).wait().await;
    a.adapter.park_session(session(&a, "x", &["r"])).wait().await;
    for n in 0..2_500 {
        a.adapter.broadcast(event(n), BroadcastOptions::room("r"));
    }
    a.adapter.broadcast(event(2_500), BroadcastOptions::room("x")).wait().await;
    // A server that starts now remembers nothing of that.
    let b = server(&redis).await;
    assert_eq!(numbers(&come_back(&b, "x", None).await.unwrap()), (0..=2_500).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_no_longer_complete_is_not_recovered() {
    let redis = RedisServer::start();
    let options = StreamsOptions { max_len: 100, ..StreamsOptions::default() };
    let a = server_with(&redis, options.clone()).await;
    a.adapter.persist_session(session(&a, "x", &[])).wait().await;
    for n in 0..1_000 {
        a.adapter.broadcast(event(n), BroadcastOptions::default());
    }
    a.adapter.broadcast(event(1_000), BroadcastOptions::default()).wait().await;
    let b = server_with(&redis, options).await;
    assert!(come_back(&b, "x", None).await.is_none());
    assert!(come_back(&b, "x", Some("hello")).await.is_none());
    assert!(come_back(&b, "nobody", None).await.is_none());
    // The server that saw them all still has them.
    assert_eq!(come_back(&a, "x", None).await.unwrap().len(), 1_001);
}

#[tokio::test]
async fn who_has_missed_much_gets_it_in_parts_and_many_at_once_take_turns() {
    const LARGE: usize = 300 << 10;
    const MAX: usize = 2 << 20;
    let redis = RedisServer::start();
    let a = server(&redis).await;
    let text = "x".repeat(LARGE);
    let ids: Vec<String> = (0..8).map(|n| format!("client-{n}")).collect();
    for id in &ids {
        a.adapter.persist_session(session(&a, id, &["r"])).wait().await;
    }
    for n in 0..40u64 {
        let large = Payload::event("n", (n, &text)).unwrap();
        a.adapter.broadcast(large, BroadcastOptions::room("r")).wait().await;
    }
    // A server that starts now remembers nothing of that.
    let options = StreamsOptions { max_replay_bytes: MAX, replay_memory: MAX, ..StreamsOptions::default() };
    let b = server_with(&redis, options).await;
    let all = ids.iter().map(async |id| {
        let (mut got, mut offset, mut rounds) = (Vec::new(), None::<String>, 0);
        loop {
            let restored =
                b.adapter.restore_session(&format!("secret-{id}"), offset.as_deref()).await.unwrap();
            assert!(restored.missed.len() <= MAX / LARGE + 4, "{}", restored.missed.len());
            got.extend(numbers(&restored.missed));
            offset = restored.missed.last().map(|data| data.get(3).unwrap());
            rounds += 1;
            if !restored.more {
                assert_eq!(got, (0..40).collect::<Vec<_>>());
                return rounds;
            }
        }
    });
    let rounds = futures::future::join_all(all).await;
    assert!(rounds.iter().all(|rounds| (4..=7).contains(rounds)), "{rounds:?}");
}

#[tokio::test]
async fn a_session_that_its_client_gave_up_is_gone() {
    let redis = RedisServer::start();
    let a = server(&redis).await;
    a.adapter.persist_session(session(&a, "x", &[])).wait().await;
    assert_eq!(redis.cli(&["EXISTS", "sio:session:secret-x"]).trim(), "1");
    a.adapter.forget_session("secret-x");
    eventually("deleted", || redis.cli(&["EXISTS", "sio:session:secret-x"]).trim() == "0").await;
    assert!(come_back(&a, "x", None).await.is_none());
}

#[tokio::test]
async fn the_session_of_a_connected_socket_does_not_expire() {
    let redis = RedisServer::start();
    let recovery = Some(Duration::from_secs(3));
    let a = server_with(&redis, StreamsOptions { recovery, ..StreamsOptions::default() }).await;
    a.adapter.persist_session(session(&a, "live", &[])).wait().await;
    a.adapter.persist_session(session(&a, "parked", &[])).wait().await;
    a.adapter.park_session(session(&a, "parked", &[])).wait().await;
    eventually("the parked one expired", || {
        redis.cli(&["EXISTS", "sio:session:secret-parked"]).trim() == "0"
    })
    .await;
    assert_eq!(redis.cli(&["EXISTS", "sio:session:secret-live"]).trim(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_under_load_lose_and_double_nothing() {
    let redis = RedisServer::start();
    let (a, b) = (server(&redis).await, server(&redis).await);
    a.sockets.connect("x", &["r"]);
    b.sockets.connect("x", &["r"]);
    let (stop, task) = traffic(&[&a]);
    for _ in 0..15 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    }
    stop.store(true, Ordering::Relaxed);
    let sent = task.await.unwrap();
    for server in [&a, &b] {
        eventually("all have come", || server.sockets.received("x").len() as u64 >= sent).await;
        assert_eq!(numbers(&server.sockets.received("x")), (0..sent).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_and_restarted_under_load_loses_and_doubles_nothing() {
    let mut redis = RedisServer::start();
    let (a, b) = (server(&redis).await, server(&redis).await);
    a.sockets.connect("x", &["r"]);
    b.sockets.connect("x", &["r"]);
    a.adapter.persist_session(session(&a, "x", &["r"])).wait().await;
    let (stop, task) = traffic(&[&a]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    redis.kill();

    // Local delivery goes on meanwhile.
    let before = a.sockets.received("x").len();
    eventually("local delivery", || a.sockets.received("x").len() > before + 50).await;

    // This client leaves during the outage, and comes back to the other server after it.
    let socket = a.sockets.sockets.lock().remove("x").unwrap();
    let (mut got, offset) = (numbers(&socket.received), last_offset(&socket.received));
    assert!(offset.as_deref().unwrap().contains('/'));
    redis.start_again();
    stop.store(true, Ordering::Relaxed);
    let sent = task.await.unwrap();
    eventually("all on b", || b.sockets.received("x").len() as u64 >= sent).await;
    assert_eq!(numbers(&b.sockets.received("x")), (0..sent).collect::<Vec<_>>());
    got.extend(numbers(&come_back(&b, "x", offset.as_deref()).await.unwrap()));
    assert_eq!(got, (0..sent).collect::<Vec<_>>());
}

/// Offset of the client `x` of `a`, which has got the first two publications of `a` while Redis was away.
async fn gone_with_two_ahead(a: &Server) -> String {
    a.adapter.persist_session(session(a, "x", &[])).wait().await;
    format!("{}/{}:2", a.adapter.offset().unwrap(), a.adapter.hub.uid)
}

/// Of three publications the client `x`, back on `b`, gets the last: within what it has `missed` or after it.
async fn gets_the_third_alone(b: &Server, missed: Vec<u64>) {
    let mut got = missed;
    let received = || numbers(&b.sockets.received("x"));
    eventually("the third", || got.contains(&3) || received().contains(&3)).await;
    got.extend(received());
    assert_eq!(got, [3]);
}

#[tokio::test]
async fn what_a_client_got_ahead_of_the_stream_it_does_not_get_again_when_it_lands() {
    let redis = RedisServer::start();
    let (a, b) = (server(&redis).await, server(&redis).await);
    // It is back on `b` before `a` has written them.
    let offset = gone_with_two_ahead(&a).await;
    let back = async { numbers(&come_back(&b, "x", Some(&offset)).await.unwrap()) };
    let mut back = std::pin::pin!(back);
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut back).await.is_err(), "it has to wait");
    for n in 1..=3 {
        a.adapter.broadcast(event(n), BroadcastOptions::default());
    }
    gets_the_third_alone(&b, back.await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_session_was_read_just_before_redis_died_waits_for_what_is_ahead_of_the_stream() {
    let mut redis = RedisServer::start();
    let (a, b) = (server(&redis).await, server(&redis).await);
    let offset = gone_with_two_ahead(&a).await;
    let back = async { numbers(&come_back(&b, "x", Some(&offset)).await.unwrap()) };
    let mut back = std::pin::pin!(back);
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut back).await.is_err(), "it has to wait");
    redis.kill();
    // Longer than it would wait for a server that has ended.
    assert!(tokio::time::timeout(Duration::from_secs(5), &mut back).await.is_err(), "it has to wait still");
    for n in 1..=3 {
        a.adapter.broadcast(event(n), BroadcastOptions::default());
    }
    redis.start_again();
    gets_the_third_alone(&b, back.await).await;
}

#[tokio::test]
async fn what_a_client_got_ahead_of_the_stream_it_does_not_get_again_in_the_next_part_either() {
    let redis = RedisServer::start();
    let (a, b) = (server(&redis).await, server(&redis).await);
    let mut offset = Some(gone_with_two_ahead(&a).await);
    for (from, numbers) in [(&b, 10..16), (&a, 1..4)] {
        for n in numbers {
            from.adapter.broadcast(event(n), BroadcastOptions::default()).wait().await;
        }
    }
    // A server that starts now has to read it all from Redis, and gives it in parts.
    let c = server_with(&redis, StreamsOptions { max_replay_bytes: 1, ..StreamsOptions::default() }).await;
    let (mut got, mut more) = (Vec::new(), true);
    while more {
        let restored = c.adapter.restore_session("secret-x", offset.as_deref()).await.unwrap();
        got.extend(numbers(&restored.missed));
        offset = last_offset(&restored.missed);
        more = restored.more;
    }
    assert_eq!(got, [10, 11, 12, 13, 14, 15, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_back_gets_what_the_others_had_ahead_of_the_stream() {
    let mut redis = RedisServer::start();
    let a = server(&redis).await;
    a.sockets.connect("y", &[]);
    a.adapter.persist_session(session(&a, "x", &[])).wait().await;
    let offset = a.adapter.offset().unwrap();
    redis.kill();
    for n in 0..20 {
        a.adapter.broadcast(event(n), BroadcastOptions::default());
    }
    eventually("local delivery", || a.sockets.received("y").len() == 20).await;
    redis.start_again();
    let mut got = numbers(&come_back(&a, "x", Some(&offset)).await.unwrap());
    a.adapter.broadcast(event(20), BroadcastOptions::default()).wait().await;
    got.extend(numbers(&a.sockets.received("x")));
    assert_eq!(got, (0..=20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_empty_is_used_again() {
    let mut redis = RedisServer::start();
    let (a, b) = (server(&redis).await, server(&redis).await);
    a.sockets.connect("x", &[]);
    b.sockets.connect("y", &[]);
    a.adapter.broadcast(event(0), BroadcastOptions::default()).wait().await;
    eventually("both have it", || numbers(&b.sockets.received("y")) == [0]).await;
    redis.kill();
    redis.start_again_empty();
    a.adapter.broadcast(event(1), BroadcastOptions::default()).wait().await;
    eventually("the other has it", || numbers(&b.sockets.received("y")) == [0, 1]).await;
    assert_eq!(numbers(&a.sockets.received("x")), [0, 1]);

    // Redis has lost the sessions too: the sockets were asked for them.
    eventually("asked", || *a.sockets.asked_for_sessions.lock() > 0).await;

    // Who connects from now on can be recovered again.
    a.adapter.broadcast(event(2), BroadcastOptions::default()).wait().await;
    a.adapter.persist_session(session(&a, "z", &[])).wait().await;
    a.adapter.broadcast(event(3), BroadcastOptions::default()).wait().await;
    let c = server(&redis).await;
    assert_eq!(numbers(&come_back(&c, "z", None).await.unwrap()), [3]);
}

/// The connections on which somebody waits for entries.
fn readers(redis: &RedisServer) -> Vec<String> {
    let all = redis.cli(&["CLIENT", "LIST"]);
    let reading = all.lines().filter(|line| line.contains(" cmd=xread "));
    reading.filter_map(|line| line.strip_prefix("id=")?.split(' ').next()).map(str::to_owned).collect()
}

/// Two servers, the second of which has not read the first event of the first when Redis loses its data.
async fn one_event_is_lost_with_redis(redis: &mut RedisServer) -> (Server, Server) {
    let a = server(redis).await;
    eventually("a reads", || readers(redis).len() == 1).await;
    let of_a = readers(redis);
    let b = server(redis).await;
    eventually("b reads", || readers(redis).len() == 2).await;
    let of_b = readers(redis).into_iter().find(|id| !of_a.contains(id)).unwrap();
    b.sockets.connect("y", &[]);
    // It cannot read on.
    let log = b.adapter.hub.log.lock().await;
    redis.cli(&["CLIENT", "KILL", "ID", &of_b]);
    eventually("noticed", || !b.adapter.hub.is_whole()).await;
    a.adapter.broadcast(event(1), BroadcastOptions::default()).wait().await;
    // By then the sender knows that it was taken.
    redis.wait();
    redis.kill();
    drop(log);
    (a, b)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_lost_before_all_had_read_it_is_written_again() {
    let mut redis = RedisServer::start();
    let (a, b) = one_event_is_lost_with_redis(&mut redis).await;
    // In the moment in which the connection has broken and is not being made anew.
    eventually("noticed", || !a.adapter.hub.is_whole()).await;
    a.adapter.broadcast(event(2), BroadcastOptions::default());
    redis.start_again_empty();
    eventually("the second", || numbers(&b.sockets.received("y")).contains(&2)).await;
    assert_eq!(numbers(&b.sockets.received("y")), [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_lost_is_written_again_by_who_has_nothing_new_to_write() {
    let mut redis = RedisServer::start();
    let (_a, b) = one_event_is_lost_with_redis(&mut redis).await;
    redis.start_again_empty();
    eventually("it", || numbers(&b.sockets.received("y")) == [1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_only_grown_out_of_the_stream_is_not_written_again() {
    let redis = RedisServer::start();
    let options = StreamsOptions { max_len: 100, ..StreamsOptions::default() };
    let (a, b) = (server_with(&redis, options.clone()).await, server_with(&redis, options).await);
    a.sockets.connect("x", &[]);
    a.adapter.broadcast(event(0), BroadcastOptions::default()).wait().await;
    for n in 1..=500 {
        b.adapter.broadcast(event(n), BroadcastOptions::default()).wait().await;
    }
    eventually("all", || a.sockets.received("x").len() == 501).await;
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    eventually("noticed", || !a.adapter.hub.is_whole()).await;
    eventually("and mended", || a.adapter.hub.is_whole()).await;
    a.adapter.broadcast(event(501), BroadcastOptions::default()).wait().await;
    eventually("the last", || a.sockets.received("x").len() == 502).await;
    let stream = redis.cli(&["XRANGE", "socket.io-stream", "-", "+"]);
    assert_eq!(stream.matches(&*a.adapter.hub.uid).count(), 1, "{stream}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_on_its_way_when_redis_loses_its_data_is_recovered_with_all_that_it_missed() {
    let mut redis = RedisServer::start();
    let (a, b) = (server(&redis).await, server(&redis).await);
    a.adapter.broadcast(event(0), BroadcastOptions::default()).wait().await;
    a.adapter.persist_session(session(&a, "x", &[])).wait().await;
    let offset = a.adapter.offset().unwrap();
    let goodbye = Some(Goodbye::now("a".into()));
    a.adapter.park_session(Session { goodbye, ..session(&a, "x", &[]) }).wait().await;
    b.adapter.broadcast(event(1), BroadcastOptions::default()).wait().await;
    redis.kill();
    let back = async { come_back(&b, "x", Some(&offset)).await.expect("recovered") };
    let mut back = std::pin::pin!(back);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut back).await.is_err(), "it has to wait");
    a.adapter.broadcast(event(2), BroadcastOptions::default());
    redis.start_again_empty();
    let mut got = numbers(&back.await);
    a.adapter.broadcast(event(3), BroadcastOptions::default());
    let received = || numbers(&b.sockets.received("x"));
    eventually("the last", || received().contains(&3)).await;
    got.extend(received());
    assert_eq!(got, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_recoverable_until_redis_has_what_it_lost() {
    let mut redis = RedisServer::start();
    let a = server(&redis).await;
    a.adapter.persist_session(session(&a, "x", &[])).wait().await;
    eventually("at the beginning", || a.adapter.recoverable()).await;
    redis.kill();
    a.adapter.broadcast(event(0), BroadcastOptions::default()).wait().await;
    eventually("not while it is away", || !a.adapter.recoverable()).await;
    redis.start_again_empty();
    eventually("again", || a.adapter.recoverable()).await;
    let landed = redis.cli(&["XREVRANGE", "socket.io-stream", "+", "-"]);
    assert!(landed.contains("seq"), "what waited was written before: {landed}");
}

#[tokio::test]
async fn a_fleet_without_recovery_never_waits_for_it() {
    let redis = RedisServer::start();
    let options = StreamsOptions { recovery: None, ..StreamsOptions::default() };
    let a = server_with(&redis, options).await;
    drop(redis);
    a.adapter.broadcast(event(0), BroadcastOptions::default()).wait().await;
    assert!(a.adapter.recoverable());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_keeps_nobody_waiting() {
    let redis = RedisServer::start();
    let (a, b) = (server(&redis).await, server(&redis).await);
    a.sockets.connect("x", &[]);
    b.sockets.connect("y", &[]);
    redis.hang();
    for n in 0..5_000 {
        a.adapter.broadcast(event(n), BroadcastOptions::default());
    }
    eventually("own sockets are served", || a.sockets.received("x").len() == 5_000).await;
    redis.go_on();
    eventually("the others too", || b.sockets.received("y").len() >= 5_000).await;
    a.adapter.broadcast(event(5_000), BroadcastOptions::default());
    for (server, id) in [(&a, "x"), (&b, "y")] {
        eventually("and what follows", || numbers(&server.sockets.received(id)).contains(&5_000)).await;
        assert_eq!(numbers(&server.sockets.received(id)), (0..=5_000).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn without_redis_the_sockets_of_this_server_are_served() {
    let redis = RedisServer::start();
    let url = redis.url();
    drop(redis);
    let streams = Streams::start(&url, StreamsOptions::default(), Arc::new(Unobserved)).unwrap();
    let sockets = FakeSockets::new("/");
    let adapter = StreamsAdapter::new(streams.0.clone(), sockets.clone());
    sockets.connect("x", &[]);
    adapter.broadcast(event(1), BroadcastOptions::default()).wait().await;
    assert_eq!(numbers(&sockets.received("x")), [1]);
}

//! Stories of pods that answer, fall silent and come back. Time is paused and advances by itself; servers
//! are played by [`Servers`], but for the tests of [`HttpFetch`].

use std::net::SocketAddr;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Event;
use parking_lot::Mutex;
use serde_json::json;
use socketfleet_api::contract::{DrainPhase, DrainReport, Health, HealthStatus, Memory};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, advance, sleep, timeout};

use super::*;

/// What servers answer, by address; those that are not here refuse the connection.
#[derive(Clone, Default)]
struct Servers {
    answers: Arc<Mutex<HashMap<SocketAddr, Health>>>,
    asked: Arc<Mutex<Vec<(SocketAddr, Instant)>>>,
}

impl Servers {
    fn set(&self, pod: u8, open: u64) {
        self.answers.lock().insert(address(pod), health(open, DrainPhase::Serving));
    }

    fn drain(&self, pod: u8, open: u64) {
        self.answers.lock().insert(address(pod), health(open, DrainPhase::Draining));
    }

    fn silence(&self, pod: u8) {
        self.answers.lock().remove(&address(pod));
    }

    fn times_asked(&self, pod: u8) -> usize {
        self.asked.lock().iter().filter(|(asked, _)| *asked == address(pod)).count()
    }
}

impl Fetch for Servers {
    async fn health(&self, admin: SocketAddr) -> Result<Health, Failure> {
        self.asked.lock().push((admin, Instant::now()));
        sleep(Duration::from_millis(2)).await;
        let answer = self.answers.lock().get(&admin).cloned();
        answer.ok_or_else(|| Failure::Connection("Connection refused".into()))
    }
}

fn address(pod: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, pod], 8081))
}

fn health(open: u64, phase: DrainPhase) -> Health {
    Health {
        status: HealthStatus::Healthy,
        instance: "chat".into(),
        connections: open,
        capacity: 1_000,
        rooms: 1,
        uptime: 1.0,
        memory: Memory { rss: 1, limit: None },
        drain: DrainReport { phase, ..DrainReport::serving(open) },
        problems: Vec::new(),
        connections_total: open,
        recovered_total: 0,
        connect_errors_total: 0,
        arrivals: Vec::new(),
    }
}

fn chat() -> FleetRef {
    FleetRef::new("chat").within("default")
}

/// A pod whose server runs and is Ready, with `change` merged into it.
fn pod(n: u8, change: serde_json::Value) -> Pod {
    let mut pod = json!({
        "metadata": {
            "name": format!("chat-{n}"), "namespace": "default", "uid": format!("uid-{n}"),
            "labels": { "socketfleet.io/fleet": "chat", "socketfleet.io/traffic": "accept" },
        },
        "spec": { "containers": [
            { "name": "sidecar" },
            { "name": "server", "ports": [{ "name": "admin", "containerPort": 8081 }] },
        ] },
        "status": {
            "phase": "Running", "podIP": format!("10.0.0.{n}"),
            "containerStatuses": [status("server", true)],
        },
    });
    json_merge(&mut pod, change);
    serde_json::from_value(pod).unwrap()
}

fn status(name: &str, ready: bool) -> serde_json::Value {
    json!({
        "name": name, "ready": ready, "restartCount": 0, "image": "", "imageID": "",
        "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } },
    })
}

fn json_merge(into: &mut serde_json::Value, change: serde_json::Value) {
    match (into.as_object_mut(), change) {
        (Some(into), serde_json::Value::Object(change)) => {
            for (key, value) in change {
                json_merge(into.entry(key).or_insert(json!(null)), value);
            }
        }
        (_, change) => *into = change,
    }
}

struct World {
    counts: OpenSockets,
    follower: Follower,
    servers: Servers,
}

/// Counts that are being scraped, with `pods` listed.
fn world(pods: &[Pod]) -> World {
    let (counts, servers) = (OpenSockets::new(), Servers::default());
    let mut follower = counts.follower();
    list(&mut follower, pods);
    tokio::spawn(scraper::run(counts.clone(), servers.clone()));
    World { counts, follower, servers }
}

fn list(follower: &mut Follower, pods: &[Pod]) {
    follower.event(&Event::Init);
    for pod in pods {
        follower.event(&Event::InitApply(pod.clone()));
    }
    follower.event(&Event::InitDone);
}

async fn seconds(n: u64) {
    sleep(Duration::from_secs(n)).await;
}

#[tokio::test(start_paused = true)]
async fn sockets_of_all_pods_are_added_up_and_draining_ones_count() {
    let world = world(&[pod(1, json!({})), pod(2, json!({})), pod(3, json!({}))]);
    world.servers.set(1, 100);
    world.servers.set(2, 20);
    world.servers.drain(3, 7);
    seconds(1).await;
    let totals = world.counts.fleet(&chat()).totals();
    assert_eq!(totals, Totals { open: 127, capacity: 2_000, known: 3, missing: 0, doubt: None });
}

#[tokio::test(start_paused = true)]
async fn serving_pods_are_asked_every_two_seconds_and_draining_ones_more_often() {
    let world = world(&[pod(1, json!({})), pod(2, json!({}))]);
    world.servers.set(1, 1);
    world.servers.drain(2, 1);
    seconds(60).await;
    assert!((27..=34).contains(&world.servers.times_asked(1)), "{}", world.servers.times_asked(1));
    assert!((135..=167).contains(&world.servers.times_asked(2)), "{}", world.servers.times_asked(2));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_falls_silent_keeps_its_last_count_and_brings_doubt() {
    let world = world(&[pod(1, json!({})), pod(2, json!({}))]);
    world.servers.set(1, 100);
    world.servers.set(2, 50);
    seconds(1).await;
    world.servers.silence(2);
    seconds(5).await;
    assert_eq!(world.counts.fleet(&chat()).totals().doubt, None, "one missed answer is no doubt");
    seconds(10).await;
    let totals = world.counts.fleet(&chat()).totals();
    assert_eq!((totals.open, totals.known, totals.missing), (150, 1, 1));
    let doubt = totals.doubt.unwrap();
    assert_eq!(doubt.reason(), "PodsDoNotAnswer");
    assert!(doubt.to_string().contains("no answer from chat-2 (Connection refused)"), "{doubt}");

    world.servers.set(2, 60);
    seconds(40).await;
    let totals = world.counts.fleet(&chat()).totals();
    assert_eq!((totals.open, totals.doubt), (160, None));
}

#[tokio::test(start_paused = true)]
async fn everything_is_in_doubt_until_every_watch_has_listed_its_pods() {
    let counts = OpenSockets::new();
    assert_eq!(counts.fleet(&chat()).totals().doubt.unwrap().reason(), "Starting");
    let (mut first, mut second) = (counts.follower(), counts.follower());
    list(&mut first, &[]);
    assert!(counts.fleet(&chat()).totals().doubt.is_some());
    list(&mut second, &[]);
    assert_eq!(counts.fleet(&chat()).totals().doubt, None);
}

#[tokio::test(start_paused = true)]
async fn a_ready_pod_that_has_never_answered_brings_doubt() {
    let world = world(&[pod(1, json!({}))]);
    seconds(1).await;
    let totals = world.counts.fleet(&chat()).totals();
    assert_eq!((totals.open, totals.missing), (0, 1));
    assert!(totals.doubt.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_starting_holds_no_socket_for_half_a_minute() {
    let starting = json!({ "status": { "containerStatuses": [status("server", false)] } });
    let world = world(&[pod(1, starting)]);
    let mut changes = world.counts.changes().boxed();
    seconds(29).await;
    assert_eq!(world.counts.fleet(&chat()).totals().doubt, None);
    while changes.next().now_or_never().is_some() {}
    let overdue = timeout(Duration::from_secs(1) + Duration::from_millis(10), changes.next()).await;
    assert_eq!(overdue, Ok(Some(chat())), "by now it should answer");
    assert!(world.counts.fleet(&chat()).totals().doubt.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_crashed_server_holds_no_socket() {
    let mut world = world(&[pod(1, json!({}))]);
    world.servers.set(1, 500);
    seconds(1).await;
    world.servers.silence(1);
    let crashed = json!({ "status": { "containerStatuses": [{
        "name": "server", "ready": false, "restartCount": 1, "image": "", "imageID": "",
        "state": { "waiting": { "reason": "CrashLoopBackOff" } },
    }] } });
    world.follower.event(&Event::Apply(pod(1, crashed)));
    let counts = world.counts.fleet(&chat());
    assert_eq!(counts.pods["uid-1"].count, Count::NotRunning);
    assert_eq!((counts.totals().open, counts.totals().doubt), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_outlives_its_grace_period_in_silence_is_lost_with_its_node() {
    let mut world = world(&[pod(1, json!({}))]);
    world.servers.set(1, 500);
    seconds(1).await;
    world.servers.silence(1);
    let killed_at = Timestamp::now() + jiff::SignedDuration::from_secs(60);
    let deleted = json!({ "metadata": { "deletionTimestamp": killed_at, "deletionGracePeriodSeconds": 60 } });
    world.follower.event(&Event::Apply(pod(1, deleted)));
    seconds(80).await;
    assert_eq!(world.counts.fleet(&chat()).totals().open, 500, "it may still be serving them");
    seconds(30).await;
    let totals = world.counts.fleet(&chat()).totals();
    assert_eq!((totals.open, totals.doubt), (0, None));
}

#[tokio::test(start_paused = true)]
async fn pods_that_a_list_no_longer_shows_are_forgotten() {
    let mut world = world(&[pod(1, json!({})), pod(2, json!({}))]);
    list(&mut world.follower, &[pod(2, json!({}))]);
    assert_eq!(world.counts.fleet(&chat()).pods.keys().collect::<Vec<_>>(), ["uid-2"]);
    world.follower.event(&Event::Delete(pod(2, json!({}))));
    assert!(world.counts.fleet(&chat()).pods.is_empty());
    seconds(60).await;
    let asked = world.servers.asked.lock().len();
    seconds(60).await;
    assert_eq!(world.servers.asked.lock().len(), asked, "nobody asks pods that are gone");
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_not_ours_are_not_asked() {
    let foreign: Pod = serde_json::from_value(json!({
        "metadata": { "name": "redis", "namespace": "default", "uid": "r", "labels": { "socketfleet.io/fleet": "chat" } },
        "spec": { "containers": [{ "name": "redis" }] },
    }))
    .unwrap();
    let world = world(&[foreign]);
    assert!(world.counts.fleet(&chat()).pods.is_empty());
}

#[tokio::test(start_paused = true)]
async fn thousands_of_silent_pods_do_not_keep_the_others_waiting() {
    let silent = (0..5_000).map(|n| {
        let name = format!("ghost-{n}");
        let change = json!({
            "metadata": { "name": name, "uid": name, "labels": { "socketfleet.io/fleet": "ghosts" } },
            "status": { "podIP": format!("10.1.{}.{}", n / 250, n % 250) },
        });
        pod(1, change)
    });
    let pods: Vec<Pod> = silent.chain([pod(1, json!({}))]).collect();
    let world = world(&pods);
    world.servers.set(1, 42);
    seconds(120).await;
    world.servers.asked.lock().clear();
    seconds(80).await;
    let asked = world.servers.asked.lock().len();
    assert!(asked < 80 * 450, "{asked} questions in 80 s");
    assert!(world.servers.times_asked(1) >= 1, "it rests, and is asked all the same");
    assert_eq!(world.counts.fleet(&chat()).totals().doubt, None);
}

#[tokio::test(start_paused = true)]
async fn thousands_of_pods_that_rest_are_asked_less_often_until_one_has_news() {
    let of = |fleet: &str, n: u16| {
        let name = format!("{fleet}-{n}");
        let change = json!({
            "metadata": { "name": name, "uid": name, "labels": { "socketfleet.io/fleet": fleet } },
            "status": { "podIP": format!("10.1.{}.{}", n / 250, n % 250) },
        });
        pod(1, change)
    };
    let ours = [pod(1, json!({})), pod(2, json!({}))];
    let pods: Vec<Pod> = (0..5_000).map(|n| of("resting", n)).chain(ours).collect();
    let world = world(&pods);
    for n in 0..5_000u16 {
        let address = SocketAddr::from(([10, 1, (n / 250) as u8, (n % 250) as u8], 8081));
        world.servers.answers.lock().insert(address, health(7, DrainPhase::Serving));
    }
    world.servers.set(1, 10);
    world.servers.set(2, 10);
    seconds(180).await;
    world.servers.asked.lock().clear();
    seconds(600).await;
    let asked = world.servers.asked.lock().len();
    assert!((13_500..17_000).contains(&asked), "{asked} questions in 600 s");
    assert_eq!(world.counts.fleet(&chat()).totals().doubt, None, "who is asked rarely is not in doubt");

    world.servers.set(1, 11);
    world.servers.set(2, 12);
    let both = async {
        while world.counts.fleet(&chat()).totals().open == 20 {
            sleep(Duration::from_millis(50)).await;
        }
        sleep(Duration::from_millis(50)).await;
    };
    both.await;
    assert_eq!(world.counts.fleet(&chat()).totals().open, 23, "the first news has the other pod asked");
}

#[tokio::test(start_paused = true)]
async fn material_changes_are_announced_once_and_small_ones_not() {
    let world = world(&[pod(1, json!({})), pod(2, json!({}))]);
    let mut changes = world.counts.changes().boxed();
    world.servers.set(1, 500);
    world.servers.set(2, 500);
    seconds(3).await;
    while changes.next().now_or_never().is_some() {}

    world.servers.set(1, 501);
    seconds(5).await;
    assert!(changes.next().now_or_never().is_none(), "one socket of a thousand is nothing to act on");

    world.servers.set(1, 950);
    seconds(5).await;
    assert_eq!(changes.next().now_or_never().flatten(), Some(chat()), "a pod is nearly full");

    world.servers.drain(2, 500);
    seconds(5).await;
    assert_eq!(changes.next().now_or_never().flatten(), Some(chat()), "a drain has begun");
    assert!(changes.next().now_or_never().is_none());

    // Noticed at the moment that the count becomes stale, however rarely a silent pod is asked by then.
    world.servers.silence(1);
    let lost = timeout(Duration::from_secs(8) + Duration::from_millis(10), changes.next()).await;
    assert_eq!(lost, Ok(Some(chat())), "a count is lost");
}

#[tokio::test(start_paused = true)]
async fn a_pod_can_be_asked_out_of_turn() {
    let world = world(&[pod(1, json!({}))]);
    world.servers.set(1, 5);
    seconds(1).await;
    let before = world.servers.times_asked(1);
    world.counts.look_again("uid-1");
    world.counts.look_again("no such pod");
    advance(Duration::from_millis(10)).await;
    sleep(Duration::from_millis(10)).await;
    assert_eq!(world.servers.times_asked(1), before + 1);
}

#[tokio::test(start_paused = true)]
async fn doubt_and_silent_pods_are_metrics() {
    let world = world(&[pod(1, json!({})), pod(2, json!({}))]);
    world.servers.set(1, 5);
    seconds(1).await;
    let mut registry = prometheus_client::registry::Registry::with_prefix("socketfleet");
    registry.register_collector(Box::new(world.counts.clone()));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        r#"socketfleet_fleet_counts_in_doubt{namespace="default",fleet="chat"} 1"#,
        "socketfleet_operator_counted_pods 2",
        "socketfleet_operator_silent_pods 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

#[test]
fn saturation_has_a_gap_so_that_it_does_not_flap() {
    let reading = |open| Reading {
        open,
        capacity: 1_000,
        drain: health(open, DrainPhase::Serving).drain,
        connections_total: 0,
        recovered_total: 0,
        connect_errors_total: 0,
        arrivals: Vec::new(),
        age: Duration::ZERO,
    };
    assert!(!is_saturated(&reading(949), false));
    assert!(is_saturated(&reading(950), false));
    assert!(is_saturated(&reading(900), true));
    assert!(!is_saturated(&reading(899), true));
}

#[test]
fn doubt_names_three_pods_and_counts_the_rest() {
    let pods = (1..=5).map(|n| (format!("chat-{n}"), None)).collect();
    let doubt = Doubt { unlisted: false, pods, prometheus: Some("http://p: Connection refused".into()) };
    assert_eq!(
        doubt.to_string(),
        "open sockets are not known for sure: no answer from chat-1, chat-2, chat-3 and 2 more pods; \
         Prometheus: http://p: Connection refused. Until they are, the fleet may grow and does not shrink."
    );
}

/// Answers each connection's requests with `response`; returns the address and how many connections came.
async fn http_server(response: String) -> (SocketAddr, Arc<Mutex<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, connections) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(0)));
    let count = connections.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            *count.lock() += 1;
            let response = response.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                    if stream.write_all(response.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, connections)
}

fn response(code: &str, body: &str) -> String {
    format!("HTTP/1.1 {code}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn health_is_asked_over_one_connection_that_is_kept() {
    let body = serde_json::to_string(&health(42, DrainPhase::Serving)).unwrap();
    let (address, connections) = http_server(response("200 OK", &body)).await;
    let fetch = HttpFetch::default();
    for _ in 0..3 {
        assert_eq!(fetch.health(address).await.unwrap().connections, 42);
    }
    assert_eq!(*connections.lock(), 1);
}

#[tokio::test]
async fn a_draining_server_answers_503_and_counts() {
    let body = serde_json::to_string(&health(3, DrainPhase::Draining)).unwrap();
    let (address, _) = http_server(response("503 Service Unavailable", &body)).await;
    assert_eq!(HttpFetch::default().health(address).await.unwrap().connections, 3);
}

#[tokio::test]
async fn answers_that_are_not_the_contracts_are_failures_that_say_why() {
    let cases = [
        (response("404 Not Found", ""), "/health answered 404 Not Found"),
        (response("200 OK", "{}"), "/health is not as the pod contract says"),
        (response("200 OK", &"x".repeat(100_000)), "/health is longer than 64 KiB"),
    ];
    for (answer, expected) in cases {
        let (address, _) = http_server(answer).await;
        let failure = HttpFetch::default().health(address).await.unwrap_err().to_string();
        assert!(failure.starts_with(expected), "{failure}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let failure = HttpFetch::default().health(closed).await.unwrap_err().to_string();
    assert_eq!(failure, "Connection refused");
}

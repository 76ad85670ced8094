//! Drains with stock clients that account for every message.

use rustix::process::Signal;
use serde_json::json;

use crate::admin::in_seconds;
use crate::load::Load;
use crate::process::Process;
use crate::proxy::Proxy;
use crate::redis::Redis;

#[test]
fn sigterm_moves_every_client_to_another_server_without_a_loss() {
    let redis = Redis::start();
    let arguments = ["--redis-url", &redis.url(), "--shutdown-drain-seconds", "6"];
    let mut leaving = Process::start(&[&arguments[..], &["--instance-id", "leaving"]].concat());
    let proxy = Proxy::to(leaving.port);
    let load = Load::start(&proxy.url(), 60, "websocket");
    let staying = Process::start(&arguments);

    proxy.switch(staying.port);
    leaving.signal(Signal::TERM);
    assert!(leaving.ended().success());
    load.until(|stats| stats["connected"] == 60);
    let stats = load.settle();
    assert!(stats["maintenance"].as_u64() >= Some(60), "each client was told: {stats:#}");
    assert_eq!(stats["reconnectsPerClient"], json!({ "1": 60 }), "each client moved once");
    assert_eq!(stats["recovered"], 60);
    let health = staying.health(|health| health["connections"] == 60 && health["recoveredTotal"] == 60);
    let arrivals = &health["arrivals"][0];
    let away = arrivals["away"].as_array().unwrap();
    assert_eq!(arrivals["from"], "leaving");
    assert_eq!(away.iter().filter_map(|n| n.as_u64()).sum::<u64>(), 60, "all came from there: {arrivals}");
    let metrics = staying.admin("GET", "/metrics").body;
    assert!(metrics.contains("socketfleet_reconnect_duration_seconds_count 60"), "{metrics}");
}

#[test]
fn a_redis_that_is_killed_in_mid_drain_and_comes_back_empty_costs_nothing() {
    let mut redis = Redis::start();
    let arguments = ["--redis-url", &redis.url()];
    let leaving = Process::start(&[&arguments[..], &["--instance-id", "leaving"]].concat());
    let proxy = Proxy::to(leaving.port);
    let load = Load::start(&proxy.url(), 60, "websocket");
    let staying = Process::start(&arguments);

    proxy.switch(staying.port);
    leaving.drain(&json!({ "deadline": in_seconds(100), "reconnectsPerSecond": 10, "reason": "ScaleIn" }));
    // Some have come back elsewhere by now, some are on their way, some have not been told.
    load.until(|stats| stats["recovered"].as_u64() >= Some(10));
    redis.kill();
    leaving.logged("the drain waits: clients that left now would not be recovered elsewhere");
    // Meanwhile they speak to each other, each side for itself.
    let sent = load.stats()["sent"].as_u64();
    load.until(|stats| stats["sent"].as_u64() >= sent.map(|sent| sent + 120));
    assert_eq!(leaving.health(|_| true)["drain"]["phase"], "draining");
    redis.start_again();
    leaving.logged("the drain goes on");

    let health = leaving.health(|health| health["drain"]["phase"] == "drained");
    assert_eq!((&health["drain"]["moved"], &health["drain"]["forced"]), (&json!(60), &json!(0)));
    load.until(|stats| stats["connected"] == 60);
    let stats = load.settle();
    assert_eq!(stats["reconnectsPerClient"], json!({ "1": 60 }), "each client moved once");
    assert_eq!(stats["recovered"], 60);
}

#[test]
fn a_drain_goes_at_its_pace_and_can_be_taken_back() {
    let server = Process::start(&[]);
    let load = Load::start(&format!("http://127.0.0.1:{}", server.port), 60, "polling,websocket");
    let begun = std::time::Instant::now();
    server.drain(&json!({ "deadline": in_seconds(60), "reconnectsPerSecond": 10, "reason": "ScaleIn" }));
    let health = server.health(|health| health["drain"]["moved"].as_u64() >= Some(20));
    // An upper bound on the pace alone: a busy machine may be slower, never faster.
    let (moved, elapsed) = (health["drain"]["moved"].as_f64().unwrap(), begun.elapsed().as_secs_f64());
    assert!(moved <= 10.0 * elapsed + 2.0, "{moved} in {elapsed} s");
    assert_eq!((&health["status"], &health["drain"]["phase"]), (&json!("draining"), &json!("draining")));
    assert_eq!(server.admin("GET", "/readyz").status, 200);

    assert_eq!(server.admin("DELETE", "/drain").json()["phase"], "serving");
    load.until(|stats| stats["connected"] == 60);
    let stats = load.settle();
    assert!(stats["reconnects"].as_u64() >= Some(20), "{stats:#}");
    let health = server.health(|health| health["connections"] == 60);
    assert_eq!(health["status"], "healthy");
}

#[test]
fn at_the_deadline_what_is_left_is_told_and_closed() {
    let mut server = Process::start(&[]);
    let load = Load::start(&format!("http://127.0.0.1:{}", server.port), 30, "websocket");
    server.drain(&json!({ "deadline": in_seconds(1), "reconnectsPerSecond": 0, "reason": "Manual" }));
    let health = server.health(|health| health["drain"]["phase"] == "drained");
    assert_eq!((&health["drain"]["moved"], &health["drain"]["forced"]), (&json!(30), &json!(30)));
    assert_eq!(server.admin("GET", "/readyz").status, 503);
    load.until(|stats| stats["maintenance"] == 30);
    assert!(server.runs(), "a drained server ends only when it is told to");
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut server = Process::start(&["--shutdown-drain-seconds", "3600"]);
    let _load = Load::start(&format!("http://127.0.0.1:{}", server.port), 12, "websocket");
    server.signal(Signal::TERM);
    server.logged("told to end");
    assert!(server.runs());
    assert_eq!(server.admin("DELETE", "/drain").status, 409, "it cannot be taken back");
    server.signal(Signal::TERM);
    server.ended();
}

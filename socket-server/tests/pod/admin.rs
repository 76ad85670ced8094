//! The admin port of a server without sockets.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use socketfleet_api::contract::{Health, metrics};

use crate::http::call;
use crate::process::Process;

/// Unix milliseconds, so many seconds from now.
pub fn in_seconds(seconds: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_millis() as u64 + seconds * 1000
}

fn scale_in() -> Value {
    json!({ "deadline": in_seconds(60), "reason": "ScaleIn" })
}

#[test]
fn a_server_that_serves_is_live_ready_and_healthy() {
    let server = Process::start(&["--instance-id", "pod-7", "--max-connections", "77"]);
    assert_eq!(server.admin("GET", "/livez").status, 200);
    assert_eq!(server.admin("GET", "/readyz").status, 200);
    for port in [server.admin_port, server.port] {
        let answer = call(port, "GET", "/health", &[], "");
        assert_eq!(answer.status, 200);
        let health: Health = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((health.instance.as_str(), health.capacity, health.connections), ("pod-7", 77, 0));
        assert!(health.memory.rss > 0 && health.problems.is_empty(), "{health:?}");
    }
}

#[test]
fn metrics_have_every_family_of_the_contract() {
    let server = Process::start(&["--instance-id", "pod-7"]);
    let answer = server.admin("GET", "/metrics");
    assert_eq!(
        answer.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    for (family, kind) in [
        (metrics::OPEN_SOCKETS, "gauge"),
        (metrics::ROOMS, "gauge"),
        (metrics::MAX_CONNECTIONS, "gauge"),
        (metrics::DRAINING, "gauge"),
        (metrics::CONNECTIONS, "counter"),
        (metrics::MESSAGES_RECEIVED, "counter"),
        (metrics::MESSAGES_SENT, "counter"),
        (metrics::MESSAGE_LATENCY, "histogram"),
        (metrics::EVENT_LOOP_LAG, "histogram"),
        (metrics::MEMORY_RSS, "gauge"),
        (metrics::INSTANCE_INFO, "info"),
    ] {
        let line = format!("# TYPE {family} {kind}");
        assert!(answer.body.lines().any(|l| l == line), "`{line}` is missing in\n{}", answer.body);
    }
    assert!(answer.body.contains("socketfleet_instance_info{instance=\"pod-7\""), "{}", answer.body);
    assert!(answer.body.ends_with("# EOF\n"));
}

#[test]
fn an_empty_server_is_drained_at_once_and_can_be_taken_back() {
    let server = Process::start(&[]);
    let report = server.drain(&scale_in());
    assert_eq!((report.status, &report.json()["phase"]), (200, &json!("drained")));
    assert_eq!(server.admin("GET", "/readyz").status, 503);
    assert_eq!(server.admin("GET", "/livez").status, 200);
    let health = server.admin("GET", "/health");
    assert_eq!((health.status, &health.json()["status"]), (503, &json!("draining")));
    assert!(server.admin("GET", "/metrics").body.contains("socketfleet_draining 1\n"));

    assert_eq!(server.admin("DELETE", "/drain").json()["phase"], "serving");
    assert_eq!(server.admin("GET", "/readyz").status, 200);
    assert!(server.admin("GET", "/metrics").body.contains("socketfleet_draining 0\n"));
}

#[test]
fn a_drain_that_makes_no_sense_is_refused_with_the_reason() {
    let server = Process::start(&[]);
    for (body, part) in [
        ("", "EOF"),
        ("{}", "missing field `deadline`"),
        (r#"{"deadline":1,"reason":"Boredom"}"#, "unknown variant `Boredom`"),
        (r#"{"deadline":1,"reason":"Manual","rate":5}"#, "unknown field `rate`"),
        (r#"{"deadline":1,"reason":"Manual","reconnectsPerSecond":-1}"#, "give a number from 0"),
    ] {
        let answer = call(server.admin_port, "POST", "/drain", &[], body);
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.json()["error"].as_str().unwrap().contains(part), "{body}: {answer:?}");
    }
    let much = format!("{{\"deadline\":1,\"reason\":\"{}\"}}", "x".repeat(100_000));
    assert_eq!(call(server.admin_port, "POST", "/drain", &[], &much).status, 400);
    assert_eq!(server.admin("GET", "/drain").json()["phase"], "serving");
}

#[test]
fn changing_calls_need_the_token_of_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s3cret\n").unwrap();
    let server = Process::start(&["--admin-token-file", file.path().to_str().unwrap()]);
    let body = scale_in().to_string();
    let drain = |token: Option<&str>| {
        let value = format!("Bearer {}", token.unwrap_or_default());
        let headers = [("authorization", value.as_str())];
        call(server.admin_port, "POST", "/drain", if token.is_some() { &headers } else { &[] }, &body)
    };
    let refused = drain(None);
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(drain(Some("guess")).status, 401);
    assert_eq!(server.admin("DELETE", "/drain").status, 401);
    assert_eq!(drain(Some("s3cret")).status, 200);
    assert_eq!(server.admin("GET", "/drain").status, 200, "looking needs no token");
    std::fs::write(file.path(), "rotated").unwrap();
    assert_eq!(drain(Some("s3cret")).status, 401);
    assert_eq!(drain(Some("rotated")).status, 200);
}

#[test]
fn what_is_not_there_is_said() {
    let server = Process::start(&[]);
    assert_eq!(server.admin("GET", "/nowhere").status, 404);
    let answer = server.admin("PUT", "/drain");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, POST, DELETE")));
    assert_eq!(server.admin("POST", "/livez").status, 405);
    assert_eq!(call(server.port, "POST", "/health", &[], "").status, 405);
    assert_eq!(
        call(server.port, "GET", "/metrics", &[], "").status,
        404,
        "metrics are the admin port's alone"
    );
}

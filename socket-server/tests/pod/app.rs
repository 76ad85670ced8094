//! The application without code, with stock clients: the scenarios of `tests/js/application.js`.

use std::collections::HashMap;
use std::net::TcpListener;

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::admin::in_seconds;
use crate::npm;
use crate::process::Process;
use crate::redis::Redis;

const SECRET: &str = "a secret of tests, long enough for HS256";

/// Runs a scenario against a server, with variables in its environment.
fn scenario(name: &str, server: &Process, environment: &HashMap<&str, String>) {
    let url = format!("http://127.0.0.1:{}", server.port);
    let output = npm::node("run.js").args([name, &url]).envs(environment).output();
    let output = output.expect("node is installed");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// A token of a user, good for a minute, with further claims.
fn token(user: &str, mut claims: Value) -> String {
    claims["sub"] = user.into();
    claims["exp"] = claims.get("exp").cloned().unwrap_or_else(|| (in_seconds(60) / 1000).into());
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

#[test]
fn rooms() {
    let server = Process::start(&[]);
    scenario("app: rooms", &server, &HashMap::new());
    scenario("app: roomsRefuse", &server, &HashMap::new());
}

#[test]
fn echo() {
    scenario("app: echo", &Process::start(&["--app", "echo"]), &HashMap::new());
}

#[test]
fn tokens() {
    let secret = file(SECRET);
    let server = Process::start(&["--jwt-secret-file", secret.path().to_str().unwrap()]);
    let environment = HashMap::from([
        ("GOOD", token("ada", json!({}))),
        ("LIMITED", token("bob", json!({ "rooms": ["lobby"], "permissions": ["join"] }))),
        ("EXPIRED", token("eve", json!({ "exp": 1 }))),
    ]);
    scenario("app: tokens", &server, &environment);
}

#[test]
fn tokens_of_clients_that_come_back() {
    let secret = file(SECRET);
    let server = Process::start(&["--jwt-secret-file", secret.path().to_str().unwrap()]);
    let environment = HashMap::from([
        ("GOOD", token("ada", json!({}))),
        ("LESS", token("ada", json!({ "rooms": ["lobby"], "permissions": ["join"] }))),
        ("EXPIRED", token("ada", json!({ "exp": 1 }))),
        ("OTHER", token("bob", json!({}))),
    ]);
    scenario("app: tokensOfReturning", &server, &environment);
}

#[test]
fn shards() {
    scenario("app: shards", &Process::start(&["--shard-index", "3", "--shard-count", "4"]), &HashMap::new());
}

#[test]
fn limits() {
    let events = Process::start(&["--limit-events-per-second", "2"]);
    scenario("app: limits", &events, &HashMap::new());
    let connects = Process::start(&["--limit-connects-per-second", "1"]);
    scenario("app: connects", &connects, &HashMap::new());
}

#[test]
fn api() {
    let (secret, api_token) = (file(SECRET), file("backend"));
    let server = Process::start(&[
        "--jwt-secret-file",
        secret.path().to_str().unwrap(),
        "--api-token-file",
        api_token.path().to_str().unwrap(),
    ]);
    let environment = HashMap::from([
        ("API_TOKEN", "backend".to_owned()),
        ("ADA", token("ada", json!({}))),
        ("BOB", token("bob", json!({}))),
    ]);
    scenario("app: api", &server, &environment);
}

#[test]
fn presence() {
    let (secret, redis) = (file(SECRET), Redis::start());
    let server = Process::start(&[
        "--jwt-secret-file",
        secret.path().to_str().unwrap(),
        "--redis-url",
        &redis.url(),
        "--instance-id",
        "pod-7",
    ]);
    let environment = HashMap::from([("REDIS_URL", redis.url()), ("ADA", token("ada", json!({})))]);
    scenario("app: presence", &server, &environment);
}

/// The first answers are errors: what is posted then comes again, with the same id and signature.
#[test]
fn webhook() {
    let secret = file(SECRET);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let posts = crate::http::posts(listener, |count| if count < 2 { 503 } else { 200 });
    let server = Process::start(&[
        "--webhook-url",
        &url,
        "--webhook-events",
        "connect,joinRoom",
        "--webhook-secret-file",
        secret.path().to_str().unwrap(),
        "--instance-id",
        "pod-7",
    ]);
    scenario("app: joinOnce", &server, &HashMap::new());
    let mut bodies: HashMap<String, u32> = HashMap::new();
    while bodies.len() < 2 || bodies.values().sum::<u32>() < 4 {
        let post = posts.recv_timeout(crate::process::PATIENCE).unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
        let tag = ring::hmac::sign(&key, post.body.as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(post.header("x-socketfleet-signature"), Some(format!("sha256={hex}").as_str()));
        *bodies.entry(post.body).or_default() += 1;
    }
    let posted: Vec<Value> = bodies.keys().map(|body| serde_json::from_str(body).unwrap()).collect();
    let of = |event: &str| posted.iter().find(|post| post["event"] == event).unwrap();
    assert_eq!((&of("connect")["instance"], &of("connect")["recovered"]), (&json!("pod-7"), &json!(false)));
    assert_eq!(of("joinRoom")["args"], json!([{ "room": "r" }]));
    assert_eq!(of("joinRoom")["socketId"], of("connect")["socketId"]);
}

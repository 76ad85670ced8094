//! Every kind of Redis that a URL can name: with a password, over TLS, a cluster, and behind sentinels.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::node;
use crate::process::Process;
use crate::redis_server::RedisServer;

fn crosses(url: &str, adapter: &str, environment: &[(&str, &str)]) {
    let servers = [Process::start(url, adapter, environment), Process::start(url, adapter, environment)];
    node::scenario("redis: messages cross", &servers.each_ref().map(|server| server.url.clone()), |_| {});
}

fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("never happened: {what}");
}

#[test]
fn a_user_with_a_password_and_no_more_rights_than_are_needed() {
    let redis = RedisServer::start();
    let rights = [
        "~socket.io-stream",
        "~sio:session:*",
        "&socket.io*",
        "+@connection",
        "+ping",
        "+info",
        "+xadd",
        "+xread",
        "+xrange",
        "+xrevrange",
        "+get",
        "+set",
        "+del",
        "+pexpire",
        "+publish",
        "+subscribe",
        "+unsubscribe",
        "+pubsub",
    ];
    let user = ["ACL", "SETUSER", "chat", "on", ">p#ss/w:rd"];
    assert_eq!(redis.cli(&[&user[..], &rights].concat()).trim(), "OK");
    crosses(&format!("redis://chat:p%23ss%2Fw%3Ard@127.0.0.1:{}", redis.port()), "streams", &[]);
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A certificate of its own for 127.0.0.1.
fn certificate(directory: &Path) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=redis",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ])
        .current_dir(directory)
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("openssl is installed").success());
}

#[test]
fn tls() {
    let port = free_port();
    let redis = RedisServer::with(|directory| {
        certificate(directory);
        let file = |name: &str| directory.join(name).to_string_lossy().into_owned();
        let files = [("--tls-cert-file", file("cert.pem")), ("--tls-key-file", file("key.pem"))];
        let mut arguments =
            vec!["--tls-port".to_owned(), port.to_string(), "--tls-auth-clients".into(), "no".into()];
        arguments.extend(files.into_iter().flat_map(|(option, file)| [option.to_owned(), file]));
        arguments
    });
    redis.wait();
    let authority = redis.directory().join("cert.pem");
    let trusted = [("SSL_CERT_FILE", authority.to_str().unwrap())];
    crosses(&format!("rediss://127.0.0.1:{port}"), "streams", &trusted);
}

/// Three primaries that share the slots.
fn cluster() -> [RedisServer; 3] {
    let nodes = [(); 3].map(|()| {
        RedisServer::with(|_| {
            let bus = free_port().to_string();
            ["--cluster-enabled", "yes", "--cluster-node-timeout", "5000", "--cluster-port", &bus]
                .map(String::from)
                .into()
        })
    });
    nodes.iter().for_each(RedisServer::wait);
    let addresses = nodes.each_ref().map(|node| format!("127.0.0.1:{}", node.port()));
    let [first, ..] = &nodes;
    let made =
        first.cli(&["--cluster", "create", &addresses[0], &addresses[1], &addresses[2], "--cluster-yes"]);
    assert!(made.contains("All 16384 slots covered"), "{made}");
    until("all nodes agree", || {
        nodes.iter().all(|node| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
    });
    nodes
}

#[test]
fn a_cluster_carries_every_adapter() {
    let nodes = cluster();
    let url = format!("redis-cluster://127.0.0.1:{}", nodes[0].port());
    for adapter in ["streams", "pubsub", "sharded-pubsub"] {
        crosses(&url, adapter, &[]);
    }
}

#[test]
fn sentinels_move_the_fleet_to_the_new_primary() {
    let primary = RedisServer::start();
    let port = primary.port().to_string();
    let replica = RedisServer::with(|_| vec!["--replicaof".into(), "127.0.0.1".into(), port.clone()]);
    replica.wait();
    until("the replica follows", || replica.cli(&["INFO", "replication"]).contains("master_link_status:up"));
    // The file is read before any argument: a sentinel writes its state into it.
    let sentinel = RedisServer::sentinel(&format!(
        "sentinel monitor chat 127.0.0.1 {port} 1\nsentinel down-after-milliseconds chat 1000\n"
    ));
    until("the sentinel knows both", || {
        sentinel.cli(&["SENTINEL", "REPLICAS", "chat"]).contains("127.0.0.1")
    });

    let url = format!("redis-sentinel://127.0.0.1:{}?sentinelServiceName=chat", sentinel.port());
    let servers = [Process::start(&url, "streams", &[]), Process::start(&url, "streams", &[])];
    node::scenario("redis: a failover", &servers.each_ref().map(|server| server.url.clone()), |command| {
        assert_eq!(command, "failover");
        assert_eq!(sentinel.cli(&["SENTINEL", "FAILOVER", "chat"]).trim(), "OK");
        let new = replica.port().to_string();
        until("the replica leads", || {
            sentinel.cli(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "chat"]).contains(&new)
        });
    });
}

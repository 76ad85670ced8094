//! Clients that move between server processes, and processes that die, while numbered messages flow.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::node;
use crate::redis_server::RedisServer;

/// A `socket-server` that is ended with the test.
struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(redis: &RedisServer) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_socket-server"))
            .env_clear()
            .args(["--host", "127.0.0.1", "--port", "0", "--admin-port", "0", "--log-format", "json"])
            .env("REDIS_URL", redis.url())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let port = log.find_map(|line| serde_json::from_str::<Value>(&line.ok()?).ok()?["port"].as_u64());
        // Reads on, or the process could not write any more.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, url: format!("http://127.0.0.1:{}", port.expect("it serves")) }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn fleet_of_three(name: &str) {
    let mut redis = RedisServer::start();
    let mut servers = [Process::start(&redis), Process::start(&redis), Process::start(&redis)];
    let urls: Vec<String> = servers.iter().map(|server| server.url.clone()).collect();
    node::scenario(name, &urls, |command| match command {
        "kill 0" => servers[0].kill(),
        "kill redis" => redis.kill(),
        "start redis" => redis.start_again(),
        other => panic!("unknown command {other}"),
    });
}

#[test]
fn connections_that_are_cut_again_and_again_lose_and_double_nothing() {
    fleet_of_three("redis: connections are cut");
}

#[test]
fn a_killed_server_loses_and_doubles_nothing() {
    fleet_of_three("redis: a server is killed");
}

#[test]
fn a_restarted_redis_loses_and_doubles_nothing() {
    fleet_of_three("redis: redis is restarted");
}

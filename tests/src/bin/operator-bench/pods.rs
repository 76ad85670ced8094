//! Answers for the simulated pods: all of their addresses lead to one program in the operator's node.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};

use anyhow::{Context, Result};
use socketfleet_api::contract::{DEFAULT_ADMIN_PORT, DrainReport, Health, HealthStatus, Memory};
use socketfleet_tests::{Cluster, repository};

/// Argument that makes this program answer.
pub const ANSWER: &str = "answer-for-pods";
/// Where kwok's pods have their addresses.
const ADDRESSES: &str = "100.64.0.0/14";
/// Of each thread: there is one for each of 5,000 connections.
const STACK: usize = 64 << 10;

/// Starts the answers in the node `n1`; they end with the returned child.
pub fn start(cluster: &Cluster) -> Result<Answers> {
    cluster.script(&["exec", "n1", "ip", "route", "replace", "local", ADDRESSES, "dev", "lo"])?;
    let script = repository().join("tests/cluster/cluster");
    let mut command = Command::new(script);
    command.args(["exec", "n1"]).arg(std::env::current_exe()?).arg(ANSWER).envs(super::CLUSTER);
    Ok(Answers(command.spawn().context("the answers for simulated pods")?))
}

/// Ends with it.
pub struct Answers(Child);

impl Drop for Answers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Answers `GET /health` of every pod, for ever.
pub fn answer() -> Result<()> {
    let drain = DrainReport::serving(100);
    let health = Health {
        status: HealthStatus::Healthy,
        instance: "simulated".into(),
        connections: 100,
        capacity: 10_000,
        rooms: 10,
        uptime: 1.0,
        memory: Memory { rss: 10 << 20, limit: None },
        drain,
        problems: Vec::new(),
        connections_total: 100,
        recovered_total: 0,
        connect_errors_total: 0,
        arrivals: Vec::new(),
    };
    let body = serde_json::to_string(&health)?;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
    let answer: &'static str = format!("{head}: {}\r\n\r\n{body}", body.len()).leak();
    let listener = TcpListener::bind(("0.0.0.0", DEFAULT_ADMIN_PORT))?;
    for stream in listener.incoming() {
        let stream = stream?;
        // Not tokio: thousands of idle threads cost the measured machine nothing.
        std::thread::Builder::new().stack_size(STACK).spawn(move || drop(serve(stream, answer)))?;
    }
    Ok(())
}

/// Requests without a body, one answer each.
fn serve(mut stream: TcpStream, answer: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut part = [0; 2048];
    loop {
        let n = stream.read(&mut part)?;
        if n == 0 {
            return Ok(());
        }
        request.extend_from_slice(&part[..n]);
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            stream.write_all(answer.as_bytes())?;
        }
    }
}

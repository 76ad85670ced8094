//! A real Redis of a test's own, and sockets without connections.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use parking_lot::Mutex;

use super::sockets::Sockets;
use crate::adapter::{AckSink, BroadcastOptions, Room, ServerSideAck, SocketInfo};
use crate::packet::Payload;

/// A `redis-server` on a port of its own; ends with the test.
pub struct RedisServer {
    port: u16,
    directory: PathBuf,
    process: Child,
}

impl RedisServer {
    /// Starts one that keeps what it is told across a restart.
    pub fn start() -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let directory = std::env::temp_dir().join(format!("redis-test-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let process = run(port, &directory);
        let server = Self { port, directory, process };
        server.wait();
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn wait(&self) {
        for _ in 0..500 {
            if self.cli(&["PING"]).trim() == "PONG" {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not answer");
    }

    /// Kills it as a lost node would be.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again, with what it had.
    pub fn start_again(&mut self) {
        self.process = run(self.port, &self.directory);
        self.wait();
    }

    /// Starts it again with nothing.
    pub fn start_again_empty(&mut self) {
        std::fs::remove_dir_all(&self.directory).unwrap();
        std::fs::create_dir_all(&self.directory).unwrap();
        self.start_again();
    }

    /// Runs one command with `redis-cli`.
    pub fn cli(&self, args: &[&str]) -> String {
        let output =
            Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn run(port: u16, directory: &PathBuf) -> Child {
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
        .arg(directory)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed (Debian package redis-server)")
}

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
}

impl FakeSockets {
    pub fn new(nsp: &'static str) -> Arc<Self> {
        Arc::new(Self { nsp: nsp.into(), sockets: Mutex::default(), server_side: Mutex::default() })
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

    /// Answers with what it was sent.
    fn server_side_emit(&self, data: Payload, ack: Option<ServerSideAck>) {
        self.server_side.lock().push(data.clone());
        if let Some(ack) = ack {
            let value: serde_json::Value = data.get(1).unwrap_or_default();
            ack(Payload::ack((value,)).unwrap());
        }
    }
}

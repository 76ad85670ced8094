//! Very many clients at once: each is let in or refused, and those that are let in are served.

use socket_server::process::open_files;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::process::{PATIENCE, Process};

/// Clients of the storm, where the limit of open files allows so many. `make bench` has one of 10,000.
const CLIENTS: u64 = 2_000;
/// Files of this process that are no clients.
const OTHER_FILES: u64 = 500;

const UPGRADE: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// `40`, masked with zeros.
const JOIN: &[u8] = &[0x81, 0x82, 0, 0, 0, 0, b'4', b'0'];

async fn until(stream: &mut TcpStream, marks: &[&str]) -> usize {
    let mut said = String::new();
    let mut part = [0; 1024];
    loop {
        if let Some(found) = marks.iter().position(|mark| said.contains(mark)) {
            return found;
        }
        let count = stream.read(&mut part).await.unwrap();
        assert!(count > 0, "closed after {said}");
        said.push_str(&String::from_utf8_lossy(&part[..count]));
    }
}

/// A client that has joined; `None` when it is refused.
async fn client(port: u16) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    match until(&mut stream, &[" 101 ", " 503 "]).await {
        0 => {
            stream.write_all(JOIN).await.unwrap();
            until(&mut stream, &["40{"]).await;
            Some(stream)
        }
        _ => None,
    }
}

#[test]
fn thousands_that_come_at_once_are_let_in_or_refused() {
    let files = open_files::raise_limit().unwrap_or(u64::MAX);
    let clients = CLIENTS.min(files - OTHER_FILES) as usize;
    let places = clients * 4 / 5;
    // These clients answer no heartbeat.
    let server = Process::start(&["--max-connections", &places.to_string(), "--ping-interval", "3600000"]);
    let port = server.port;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let storm = async {
        let mut storm: JoinSet<_> = (0..clients).map(|_| client(port)).collect();
        let mut open = Vec::new();
        while let Some(joined) = storm.join_next().await {
            open.extend(joined.unwrap());
        }
        open
    };
    let open = runtime.block_on(async { tokio::time::timeout(PATIENCE, storm).await.unwrap() });
    assert_eq!(open.len(), places);
    let health = server.health(|health| health["connections"] == places);
    assert_eq!((&health["status"], &health["connectionsTotal"]), (&"healthy".into(), &places.into()));
    drop(open);
    server.health(|health| health["connections"] == 0);
    assert!(runtime.block_on(client(port)).is_some(), "places that are given up are there again");
}

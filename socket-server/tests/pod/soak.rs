//! Waves of clients that come, join rooms, speak and go: after them the memory is back where it was.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::process::Process;

/// More than after the first wave, in which tables and the allocator's pages have grown once: memory is seen to go up and
/// down by half of it, and by what a wave itself takes. With 20 waves of 200 clients, 1,000 bytes that a client leaves
/// behind are too many; with 200 of 1,000, 40 bytes.
fn margin(clients: usize) -> u64 {
    (3 << 20) + clients as u64 * 4096
}

/// Waves and clients of each: few for every run, many for `make soak-server`.
fn size(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |given| given.parse().unwrap())
}

/// A masked text frame; the mask is all zeros.
fn frame(text: &str) -> Vec<u8> {
    assert!(text.len() < 126);
    [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat()
}

struct Client(TcpStream);

impl Client {
    /// Asks for all at once: a WebSocket, the namespace, a room, and a message to it.
    fn open(port: u16, number: usize) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let upgrade = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(upgrade.as_bytes()).unwrap();
        stream.write_all(&frame("40")).unwrap();
        let room = number / 2;
        let mut client = Self(stream);
        client.until("40{");
        client.0.write_all(&frame(&format!(r#"420["joinRoom","room-{room}"]"#))).unwrap();
        client
            .0
            .write_all(&frame(&format!(r#"421["roomMessage",{{"room":"room-{room}","data":"hello"}}]"#)))
            .unwrap();
        client
    }

    fn until(&mut self, mark: &str) {
        let (mut said, mut part) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&said).contains(mark) {
            let count = self.0.read(&mut part).unwrap();
            assert!(count > 0, "closed before `{mark}`");
            said.extend_from_slice(&part[..count]);
        }
    }
}

fn wave(port: u16, clients: usize) {
    let mut open: Vec<_> = (0..clients).map(|number| Client::open(port, number)).collect();
    open.iter_mut().for_each(|client| client.until("431[{\"ok\":true}]"));
    // Half leave for good; the others are lost, and their sessions wait for them for a while.
    for (number, client) in open.iter_mut().enumerate().filter(|(number, _)| number % 2 == 0) {
        client.0.write_all(&frame("41")).unwrap_or_else(|error| panic!("client {number}: {error}"));
    }
}

#[test]
fn memory_is_back_where_it_was_after_waves_of_clients() {
    let (waves, clients) = (size("SOAK_WAVES", 20), size("SOAK_CLIENTS", 200));
    let server = Process::start(&["--connection-state-recovery-max-disconnection-duration", "1000"]);
    let empty = server.memory();
    let wave = || {
        wave(server.port, clients);
        server.health(|health| health["connections"] == 0);
    };
    wave();
    let start = server.memory();
    let most = (1..waves).map(|_| (wave(), server.memory()).1).max();
    let end = server.memory_until(|memory| memory <= start + margin(clients));
    println!(
        "anonymous PSS in bytes: {empty} empty, {start} after a wave, {most:?} at most, {end} after {waves}"
    );
    server.health(|health| health["connections"] == 0 && health["rooms"] == 0);
}

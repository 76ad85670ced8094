//! From polling to WebSocket: the new transport proves itself with `2probe`/`3probe`, then `5` makes it the one.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Conn;
use super::frame::{self, Frame, Opcode};
use super::outbox::Transport;
use super::packet;
use super::websocket::WebSocket;

/// Longest frame that a probe may be.
const MAX_PROBE: usize = 64;

/// Runs the probe on a stream whose HTTP upgrade is done (`read` came with it), then the connection's WebSocket.
pub(super) async fn run(conn: Arc<Conn>, mut stream: TcpStream, mut read: Vec<u8>) {
    let timeout = conn.engine().options().upgrade_timeout;
    let proved = tokio::time::timeout(timeout, probe(&conn, &mut stream, &mut read)).await;
    if !matches!(proved, Ok(Some(()))) {
        conn.abandon_upgrade();
        return;
    }
    let (reader, writer) = stream.into_split();
    let taken = conn.with_outbox(|outbox| {
        outbox.upgrade(writer);
        matches!(outbox.transport, Transport::WebSocket(_))
    });
    if taken {
        conn.engine().stats().upgrades.inc();
        WebSocket::new(conn, reader, read).await;
    }
}

async fn probe(conn: &Conn, stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<()> {
    expect(stream, read, "2probe").await?;
    stream.write_all(&packet::text_frame("3probe")).await.ok()?;
    conn.shorten_poll();
    expect(stream, read, "5").await
}

/// Reads one text frame that must be `packet`.
async fn expect(stream: &mut TcpStream, read: &mut Vec<u8>, packet: &str) -> Option<()> {
    loop {
        if let Some(Frame { fin, opcode, payload }) = frame::parse(read, MAX_PROBE).ok()? {
            let matches = fin && opcode == Opcode::Text && read[payload.clone()] == *packet.as_bytes();
            read.drain(..payload.end);
            return matches.then_some(());
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

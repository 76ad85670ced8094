//! From polling to WebSocket: the new transport proves itself with `2probe`/`3probe`, then `5` makes it the one.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::deflate;
use super::frame::{self, Frame, Opcode};
use super::outbox::Transport;
use super::packet;
use super::polling::Upgrading;
use super::websocket::WebSocket;

/// Longest frame that a probe may be.
const MAX_PROBE: usize = 64;

/// Runs the probe on a stream whose HTTP upgrade is done (`read` came with it), then the connection's WebSocket.
/// `deflates`: they have agreed on compression.
pub(super) async fn run(upgrading: Upgrading, mut stream: TcpStream, mut read: Vec<u8>, deflates: bool) {
    let conn = Arc::clone(upgrading.conn());
    let timeout = conn.engine().options().upgrade_timeout;
    let proved = tokio::time::timeout(timeout, probe(&upgrading, &mut stream, &mut read)).await;
    if !matches!(proved, Ok(Some(()))) {
        return;
    }
    let (reader, writer) = stream.into_split();
    let taken = conn.with_outbox(|outbox| {
        outbox.upgrade(writer);
        let taken = matches!(outbox.transport, Transport::WebSocket(_));
        if taken {
            conn.set_deflates(deflates);
        }
        taken
    });
    // Before the WebSocket runs, which is for as long as the connection lives.
    drop(upgrading);
    if taken {
        conn.engine().stats().upgrades.inc();
        WebSocket::new(conn, reader, read).await;
    }
}

async fn probe(upgrading: &Upgrading, stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<()> {
    expect(stream, read, "2probe").await?;
    stream.write_all(&packet::text_frame("3probe")).await.ok()?;
    upgrading.probed();
    expect(stream, read, "5").await
}

/// Reads one text frame that must be `packet`.
async fn expect(stream: &mut TcpStream, read: &mut Vec<u8>, packet: &str) -> Option<()> {
    loop {
        if let Some(Frame { fin, opcode, compressed, payload }) = frame::parse(read, MAX_PROBE).ok()? {
            let sent: Vec<u8> = read.drain(..payload.end).skip(payload.start).collect();
            // Browsers compress whatever they send, once they may.
            let sent = if compressed { deflate::inflate(&sent, MAX_PROBE).ok()? } else { sent };
            return (fin && opcode == Opcode::Text && sent == packet.as_bytes()).then_some(());
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

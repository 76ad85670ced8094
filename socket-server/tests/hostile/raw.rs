//! A client that says what it wants, byte by byte.

use std::time::Duration;

use socket_server::options::{EngineOptions, ServerOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long anything may take before a test gives up: never measured, only a way not to hang.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pace of those who take their time.
const TRICKLE: Duration = Duration::from_millis(20);

/// Times that are over soon, and a small limit.
pub fn impatient() -> ServerOptions {
    let short = Duration::from_millis(200);
    let engine = EngineOptions {
        ping_interval: short,
        ping_timeout: short,
        upgrade_timeout: short,
        request_timeout: short,
        max_http_buffer_size: 10_000,
        ..ServerOptions::default().engine
    };
    ServerOptions { engine, ..ServerOptions::default() }
}

/// Waits until the condition holds.
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never happened: {what}"));
}

/// A frame as clients send it. The mask is all zeros, so the payload is plain.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

pub struct Raw(TcpStream);

impl Raw {
    pub async fn connect(url: &str) -> Self {
        Self(TcpStream::connect(url.trim_start_matches("http://")).await.unwrap())
    }

    /// A WebSocket, of the session with this id or a new one; the handshake's answer is read.
    pub async fn websocket(url: &str, sid: Option<&str>) -> Self {
        let mut raw = Self::connect(url).await;
        raw.send(upgrade(sid).as_bytes()).await;
        let head = raw.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Sends as long as somebody takes it.
    pub async fn send_for_ever(&mut self, bytes: &[u8]) {
        let send = async { while self.0.write_all(bytes).await.is_ok() {} };
        tokio::time::timeout(PATIENCE, send).await.expect("the server lets go of it");
    }

    /// Sends byte by byte, again and again, until the server lets go of it. Returns what the server said.
    pub async fn trickle(self, bytes: &[u8]) -> String {
        let (mut reader, mut writer) = self.0.into_split();
        let trickle = async {
            for byte in bytes.iter().cycle() {
                if writer.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(TRICKLE).await;
            }
            std::future::pending::<()>().await;
        };
        let mut said = Vec::new();
        tokio::select! {
            () = trickle => {}
            end = tokio::time::timeout(PATIENCE, reader.read_to_end(&mut said)) => {
                // A reset is an end too.
                let _ = end.expect("the server lets go of it");
            }
        }
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Waits until the server lets go of it; returns what it said.
    pub async fn end(mut self) -> Vec<u8> {
        let mut said = Vec::new();
        let end = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut said));
        let _ = end.await.expect("the server lets go of it");
        said
    }

    /// Reads until this has come, and returns all up to it.
    pub async fn until(&mut self, mark: &str) -> String {
        let mut said = Vec::new();
        let read = async {
            while !said.ends_with(mark.as_bytes()) {
                said.push(self.0.read_u8().await.unwrap());
            }
        };
        let done = tokio::time::timeout(PATIENCE, read).await;
        assert!(done.is_ok(), "`{mark}` never came: {}", String::from_utf8_lossy(&said));
        String::from_utf8_lossy(&said).into_owned()
    }

    /// One answer of an HTTP request: head and body.
    pub async fn answer(&mut self) -> (String, String) {
        let head = self.until("\r\n\r\n").await;
        let length = head
            .to_lowercase()
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// Opens a polling session; returns its id.
    pub async fn handshake(&mut self) -> String {
        self.send(get("").as_bytes()).await;
        let (_, open) = self.answer().await;
        let open: serde_json::Value = serde_json::from_str(&open[1..]).unwrap();
        open["sid"].as_str().unwrap().to_owned()
    }
}

/// A poll, of the session with this id.
pub fn get(sid: &str) -> String {
    format!("GET /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: x\r\n\r\n")
}

/// The head of a request with data.
pub fn post(sid: &str, headers: &str) -> String {
    format!("POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
}

/// The request of a WebSocket, of the session with this id or a new one.
pub fn upgrade(sid: Option<&str>) -> String {
    let sid = sid.map_or(String::new(), |sid| format!("&sid={sid}"));
    format!(
        "GET /socket.io/?EIO=4&transport=websocket{sid} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

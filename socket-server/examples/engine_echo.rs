//! The Engine.IO layer alone: `/engine.io/`, where each message is sent back. For the protocol's test suite:
//! `cargo run -p socket-server --example engine_echo -- --ping-interval 300 --ping-timeout 200 --max-payload 1000000`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use http_body_util::Full;
use socket_server::engine::{Acceptor, CloseReason, Conn, Engine, Fallback, Message, ParseError, Session};
use socket_server::options::EngineOptions;
use socket_server::stats::Stats;
use tokio::net::TcpListener;

/// Sends each message back.
#[derive(Parser)]
pub struct Args {
    /// Milliseconds between two pings.
    #[arg(long, default_value_t = 25_000)]
    ping_interval: u64,
    /// Milliseconds that a client has to answer a ping.
    #[arg(long, default_value_t = 20_000)]
    ping_timeout: u64,
    /// Bytes of the largest message.
    #[arg(long, default_value_t = 1_000_000)]
    max_payload: usize,
    /// Milliseconds that a client has to bring a connection about: here, an upgrade to WebSocket.
    #[arg(long, default_value_t = 10_000)]
    connect_timeout: u64,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 3000)]
    port: u16,
}

struct Echo;

impl Acceptor for Echo {
    fn accept(&self, _conn: &Arc<Conn>) -> Box<dyn Session> {
        Box::new(Echo)
    }
}

impl Session for Echo {
    fn on_message(&self, conn: &Arc<Conn>, message: Message) -> Result<(), ParseError> {
        conn.send(&message.encode(), false);
        Ok(())
    }

    fn on_close(&self, _conn: &Arc<Conn>, _reason: CloseReason) {}
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    serve(Args::parse(), |address| println!("http://{address}/engine.io/")).await
}

/// Serves for ever; says where when it listens.
pub async fn serve(args: Args, listens: impl FnOnce(SocketAddr)) -> std::io::Result<()> {
    let Args { ping_interval, ping_timeout, max_payload, connect_timeout, host, port } = args;
    let options = EngineOptions {
        ping_interval: Duration::from_millis(ping_interval),
        ping_timeout: Duration::from_millis(ping_timeout),
        upgrade_timeout: Duration::from_millis(connect_timeout),
        max_http_buffer_size: max_payload,
        ..EngineOptions::default()
    };
    let engine = Engine::new(options, Box::new(Echo), Arc::new(Stats::default()));
    let not_found: Fallback = Arc::new(|_| {
        let mut answer = http::Response::new(Full::new(Bytes::new()));
        *answer.status_mut() = http::StatusCode::NOT_FOUND;
        Box::pin(std::future::ready(answer))
    });
    let listener = TcpListener::bind((host, port)).await?;
    listens(listener.local_addr()?);
    loop {
        let (stream, peer) = listener.accept().await?;
        tokio::spawn(Arc::clone(&engine).serve(stream, peer, Arc::clone(&not_found)));
    }
}

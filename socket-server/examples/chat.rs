//! A chat server in a page: `cargo run -p socket-server --example chat`.
//!
//! `joinRoom` joins, `roomMessage` goes to the whole room, `message` is answered to its sender.

use socket_server::options::ServerOptions;
use socket_server::server::Server;

#[derive(serde::Deserialize)]
struct RoomMessage {
    room: String,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(3000);
    let server = Server::new(ServerOptions::default());
    let io = server.io().root();
    io.on("message", |socket, event| {
        if let Ok(args) = event.args() {
            let _ = socket.emit("message-back", args);
        }
    });
    io.on("joinRoom", |socket, event| {
        if let Ok(room) = event.get::<String>(0) {
            socket.join(room);
        }
    });
    io.on("roomMessage", |socket, event| {
        if let (Ok(RoomMessage { room }), Ok(args)) = (event.get(0), event.args()) {
            let _ = socket.namespace().to(room).emit("roomMessage", args);
        }
    });
    server.serve(tokio::net::TcpListener::bind(("127.0.0.1", port)).await?).await;
    Ok(())
}

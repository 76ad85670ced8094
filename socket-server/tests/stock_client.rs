//! What a stock `socket.io-client` sees of the server, over each transport.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use socket_server::io::{ConnectError, Event, Namespace, Socket};
use socket_server::options::{EngineOptions, Parser, PerMessageDeflate, ServerOptions, WhenFull};
use socket_server::server::Server;
use support::{scenario, serve};

/// Handlers for all scenarios.
fn prepare(server: &Server) {
    let io = server.io();
    let root = io.root();
    root.on("echo", |socket, event| drop(socket.emit("echo", event.args().unwrap())));
    root.on("echo-ack", |_, event| event.ack(event.args().unwrap()).unwrap());
    root.on("auth", |socket, event| event.ack((socket.auth::<Value>(),)).unwrap());
    root.on_async("ask", |socket, event| async move {
        let asked = socket.emit_with_ack("question", event.args().unwrap(), Duration::from_secs(5));
        event.ack(asked.await.unwrap().rest(0).unwrap()).unwrap();
    });
    root.on_async("ask-in-vain", |socket, event| async move {
        let error = socket.emit_with_ack("silence", (), Duration::from_millis(50)).await.unwrap_err();
        event.ack((error.to_string(),)).unwrap();
    });
    rooms(&root);
    numbers(&root);
    root.on("leave-me", |socket, _| socket.disconnect(true));
    root.on("remember", |socket, event| {
        let (key, value): (String, Value) = (event.get(0).unwrap(), event.get(1).unwrap());
        socket.set_data(&key, value);
        event.ack(()).unwrap();
    });
    root.on("recall", |socket, event| {
        event.ack((socket.get_data(&event.get::<String>(0).unwrap()),)).unwrap();
    });
    root.on("recovered", |socket, event| event.ack((socket.recovered(),)).unwrap());

    io.of("/guarded").middleware(|socket| async move {
        match socket.auth::<HashMap<String, String>>().and_then(|a| a.get("password").cloned()).as_deref() {
            Some("right") => Ok(()),
            _ => Err(ConnectError { message: "not you".into(), data: Some(json!({ "code": 7 })) }),
        }
    });
    let tenants = io.of_dynamic(|name| name.starts_with("/tenant-"));
    tenants.on("where", |socket, event| event.ack((socket.nsp().to_string(),)).unwrap());
}

fn rooms(root: &Namespace) {
    let text = |event: &Event, index| event.get::<String>(index).unwrap();
    root.on("join", move |socket, event| {
        socket.join(text(&event, 0));
        event.ack((true,)).unwrap();
    });
    root.on("leave", move |socket, event| {
        socket.leave(&text(&event, 0));
        event.ack(()).unwrap();
    });
    root.on("to", move |socket, event| {
        socket.to(text(&event, 0)).emit(&text(&event, 1), (event.get::<Value>(2).unwrap(),)).unwrap();
        event.ack(()).unwrap();
    });
    root.on("in", move |socket, event| {
        let room = socket.namespace().to(text(&event, 0));
        room.emit(&text(&event, 1), (event.get::<Value>(2).unwrap(),)).unwrap();
        event.ack(()).unwrap();
    });
    root.on("in-except", move |socket, event| {
        let room = socket.namespace().to(text(&event, 0)).except(text(&event, 1));
        room.emit(&text(&event, 2), (text(&event, 3),)).unwrap();
        event.ack(()).unwrap();
    });
    root.on("all", move |socket, event| {
        socket.namespace().emit(&text(&event, 0), (text(&event, 1),)).unwrap();
        event.ack(()).unwrap();
    });
    root.on("join-all", move |socket, event| {
        socket.namespace().broadcast().sockets_join([text(&event, 0), text(&event, 1)]);
        event.ack(()).unwrap();
    });
    root.on("kick", move |socket, event| {
        socket.namespace().to(text(&event, 0)).disconnect_sockets(false);
        event.ack(()).unwrap();
    });
    root.on_async("fetch", |socket, event| async move {
        let sockets = socket.namespace().fetch_sockets().await.unwrap();
        let infos: Vec<_> = sockets
            .into_iter()
            .map(|s| {
                let rooms: Vec<_> = s.rooms.iter().map(ToString::to_string).collect();
                json!({ "id": &*s.id, "rooms": rooms, "handshake": s.handshake })
            })
            .collect();
        event.ack((infos,)).unwrap();
    });
    root.on_async("ask-all", move |socket, event| async move {
        let room = socket.namespace().to(event.get::<String>(0).unwrap()).timeout(Duration::from_secs(5));
        let answers = room.emit_with_ack("question", (1,)).await.unwrap();
        event.ack((answers.iter().map(|a| a.parse().unwrap()).collect::<Vec<Value>>(),)).unwrap();
    });
}

/// Numbers that clients send are noted down and sent back to the client's room.
fn numbers(root: &Namespace) {
    let seen = Arc::new(Mutex::new(HashMap::<String, Vec<u64>>::new()));
    let noted = Arc::clone(&seen);
    root.on("numbers", move |_, event| {
        let numbers = noted.lock().get(&event.get::<String>(0).unwrap()).cloned();
        event.ack((numbers.unwrap_or_default(),)).unwrap();
    });
    let note = move |socket: &Socket, event: &Event| {
        let (name, number): (String, u64) = (event.get(0).unwrap(), event.get(1).unwrap());
        seen.lock().entry(name.clone()).or_default().push(number);
        socket.namespace().to(name).emit("numbered", (number,)).unwrap();
        number
    };
    let again = note.clone();
    root.on("number", move |socket, event| {
        note(&socket, &event);
    });
    root.on_async("number-ack", move |socket, event| {
        let number = again(&socket, &event);
        async move {
            // An answer that takes its time is one that a move may come in between.
            tokio::time::sleep(Duration::from_millis(number % 4)).await;
            event.ack((number,)).unwrap();
        }
    });
}

macro_rules! scenarios {
    ($($test:ident: $name:literal, $options:expr;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let (_server, url) = serve($options, prepare).await;
            scenario($name, &url).await;
        })*
    };
}

fn standard() -> ServerOptions {
    ServerOptions::default()
}

fn engine(change: impl FnOnce(&mut EngineOptions)) -> ServerOptions {
    let mut options = standard();
    change(&mut options.engine);
    options
}

fn one_place(when_full: WhenFull) -> ServerOptions {
    engine(|e| (e.max_connections, e.when_full) = (1, when_full))
}

fn compressing(threshold: usize) -> ServerOptions {
    engine(|e| e.per_message_deflate = Some(PerMessageDeflate { threshold }))
}

fn quick_heartbeat() -> ServerOptions {
    let options = engine(|e| {
        (e.ping_interval, e.ping_timeout) = (Duration::from_millis(300), Duration::from_millis(200));
    });
    // Longer than five pings take, so that each is given up for its own reason.
    ServerOptions { connect_timeout: Duration::from_millis(2_000), ..options }
}

scenarios! {
    events_over_websocket: "events over websocket", standard();
    events_over_polling: "events over polling", standard();
    events_over_an_upgrade: "events over an upgrade", standard();
    an_upgrade_loses_and_reorders_nothing: "upgrade", standard();
    rooms_and_broadcasts: "rooms", standard();
    namespaces_and_middlewares: "namespaces", standard();
    answers_that_do_not_come: "timeouts", standard();
    msgpack_parser: "msgpack", ServerOptions { parser: Parser::MsgPack, ..standard() };
    a_full_server_refuses_over_http: "refused", one_place(WhenFull::Refuse);
    a_full_server_refuses_by_connect_error: "refusedByError", one_place(WhenFull::ConnectError);
    a_cut_client_recovers: "recovery", standard();
    a_client_that_is_back_early_recovers: "takeover", standard();
    engine_errors_are_nodes: "errors", standard();
    engine_polling: "polling", standard();
    engine_limits: "limits", standard();
    engine_probe: "probe", standard();
    engine_heartbeat: "heartbeat", quick_heartbeat();
    compression: "deflate", compressing(1024);
    compression_is_bounded: "deflate: bomb", compressing(1024);
    compressed_events: "events over websocket", compressing(0);
    compressed_upgrade: "upgrade", compressing(0);
    compressed_recovery: "recovery", compressing(0);
    compressed_limits: "limits", compressing(0);
    compressed_msgpack: "msgpack", ServerOptions { parser: Parser::MsgPack, ..compressing(0) };
}

/// Moves every connection again and again while a scenario runs.
async fn moved(name: &'static str) {
    let (server, url) = serve(standard(), prepare).await;
    let mover = tokio::spawn(async move {
        let data = json!({ "message": "moving", "code": "SERVER_DRAINING" });
        loop {
            tokio::time::sleep(Duration::from_millis(120)).await;
            for connection in server.connections().into_iter().filter(|c| c.is_open()) {
                let moving = connection.close_for_drain(
                    &"here".into(),
                    "server:maintenance",
                    (&data,),
                    Duration::from_secs(30),
                );
                tokio::spawn(moving.unwrap());
            }
        }
    });
    scenario(name, &url).await;
    mover.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moving_over_websocket_loses_and_doubles_nothing() {
    moved("moves").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moving_a_client_that_retries_over_websocket() {
    moved("moves with retries over websocket").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moving_a_client_that_retries_over_polling() {
    moved("moves with retries over polling").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moving_a_client_that_retries_over_an_upgrade() {
    moved("moves with retries over an upgrade").await;
}

//! Node and Rust servers in one fleet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use socket_server::adapter::AdapterFactory;
use socket_server::adapter::redis::{Classic, Sharded, Streams, StreamsOptions, Unobserved};
use socket_server::io::{Broadcast, Event, Namespace};
use socket_server::options::ServerOptions;
use socket_server::packet::{Binary, Payload};
use socket_server::server::Server;
use tokio::net::TcpListener;

use crate::node;
use crate::redis_server::RedisServer;

#[derive(Deserialize)]
struct Target {
    #[serde(default)]
    rooms: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
}

/// Bytes, or anything else.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Any {
    Bytes(Binary),
    Other(Value),
}

fn to(root: &Namespace, event: &Event) -> Broadcast {
    let Target { rooms, except } = event.get(0).unwrap();
    let broadcast = rooms.into_iter().fold(root.broadcast(), Broadcast::to);
    except.into_iter().fold(broadcast, Broadcast::except)
}

fn names(event: &Event) -> Vec<String> {
    match event.get(1).unwrap() {
        Value::String(one) => vec![one],
        many => serde_json::from_value(many).unwrap(),
    }
}

/// Handlers by which a client in `/control` makes this server do what a Node server's code would.
fn prepare(server: &Server) {
    let root = server.io().root();
    root.on("join", |socket, event| {
        let joined = socket.join(event.get::<String>(0).unwrap());
        tokio::spawn(async move {
            joined.wait().await;
            event.ack(()).unwrap();
        });
    });
    let news = Arc::new(Mutex::new(Vec::<[Any; 1]>::new()));
    let heard = news.clone();
    root.on_server_side("news", move |data, _| heard.lock().push([data.get(1).unwrap()]));
    root.on_server_side("question", |data, ack| {
        let answer = HashMap::from([("rust", data.get::<Any>(1).unwrap())]);
        ack.unwrap()(Payload::ack((answer,)).unwrap());
    });

    let control = server.io().of("/control");
    let on = |name: &str, act: fn(&Namespace, &Event)| {
        let root = root.clone();
        control.on(name, move |_, event| {
            act(&root, &event);
            event.ack(()).unwrap();
        });
    };
    on("broadcast", |root, event| {
        let name: String = event.get(1).unwrap();
        let _ = to(root, event).emit(&name, event.payload().rest(3).unwrap()).unwrap();
    });
    on("socketsJoin", |root, event| to(root, event).sockets_join(names(event)));
    on("socketsLeave", |root, event| to(root, event).sockets_leave(names(event)));
    on("disconnectSockets", |root, event| to(root, event).disconnect_sockets(true));
    on("serverSideEmit", |root, event| root.server_side_emit("news", event.args().unwrap()).unwrap());
    control.on("news", move |_, event| event.ack((news.lock().clone(),)).unwrap());

    let asked = root.clone();
    control.on_async("emitWithAck", move |_, event| {
        let (broadcast, name) = (to(&asked, &event), event.get::<String>(1).unwrap());
        async move {
            let arg = event.payload().rest(3).unwrap();
            let answers = broadcast.timeout(Duration::from_secs(5)).emit_with_ack(&name, arg).await.unwrap();
            let answers: Vec<Any> = answers.iter().map(|answer| answer.get(0).unwrap()).collect();
            event.ack((answers,)).unwrap();
        }
    });
    let fetched = root.clone();
    control.on_async("fetch", move |_, event| {
        let broadcast = to(&fetched, &event);
        async move {
            let sockets = broadcast.fetch_sockets().await.unwrap();
            let plain = sockets.into_iter().map(|socket| {
                let rooms: Vec<_> = socket.rooms.iter().map(ToString::to_string).collect();
                json!({ "id": &*socket.id, "rooms": rooms, "data": socket.data })
            });
            event.ack((plain.collect::<Vec<_>>(),)).unwrap();
        }
    });
    control.on_async("serverSideEmitWithAck", move |_, event| {
        let root = root.clone();
        async move {
            let asked =
                root.server_side_emit_with_ack("question", event.args().unwrap(), Duration::from_secs(5));
            let answers: Vec<HashMap<String, Any>> =
                asked.await.unwrap().iter().map(|answer| answer.get(0).unwrap()).collect();
            event.ack((answers,)).unwrap();
        }
    });
}

async fn with_rust_server(name: &'static str, redis: RedisServer, adapter: AdapterFactory) {
    let server = Server::builder(ServerOptions::default()).adapter(adapter).build();
    prepare(&server);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let urls = [format!("http://{}", listener.local_addr().unwrap()), redis.url()];
    tokio::spawn(async move { server.serve(listener).await });
    tokio::task::spawn_blocking(move || node::scenario(name, &urls, |_| {})).await.unwrap();
    drop(redis);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams() {
    let redis = RedisServer::start();
    let streams = Streams::start(&redis.url(), StreamsOptions::default(), Arc::new(Unobserved)).unwrap();
    streams.ready().await;
    with_rust_server("mixed: streams", redis, streams.factory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic() {
    let redis = RedisServer::start();
    let classic = Classic::start(&redis.url(), "socket.io".into(), Arc::new(Unobserved)).unwrap();
    with_rust_server("mixed: classic", redis, classic.factory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sharded() {
    let redis = RedisServer::start();
    let sharded = Sharded::start(&redis.url(), "socket.io".into(), Arc::new(Unobserved)).unwrap();
    with_rust_server("mixed: sharded", redis, sharded.factory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emitter() {
    let redis = RedisServer::start();
    let classic = Classic::start(&redis.url(), "socket.io".into(), Arc::new(Unobserved)).unwrap();
    with_rust_server("mixed: emitter", redis, classic.factory()).await;
}

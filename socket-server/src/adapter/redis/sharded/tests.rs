//! Servers that share a real Redis.

use std::sync::Arc;

use super::{Sharded, ShardedAdapter};
use crate::adapter::redis::client::Unobserved;
use crate::adapter::redis::testing::{self, FakeSockets, RedisServer, Server, event, eventually, numbers};
use crate::adapter::{Adapter, BroadcastOptions};

fn server(redis: &RedisServer) -> Server<ShardedAdapter> {
    let Sharded(hub) = Sharded::start(&redis.url(), "socket.io".into(), Arc::new(Unobserved)).unwrap();
    let sockets = FakeSockets::new("/");
    let adapter = Arc::new(ShardedAdapter::new(hub.clone(), sockets.clone()));
    Server { sockets, adapter }
}

#[tokio::test]
async fn two_servers_act_as_one() {
    let redis = RedisServer::start();
    testing::two_servers_act_as_one(&server(&redis), &server(&redis)).await;
}

#[tokio::test]
async fn only_rooms_that_are_here_are_subscribed_to() {
    let redis = RedisServer::start();
    let a = server(&redis);
    a.connect("x", &["r"]).await;
    let subscribed = |room: &str| {
        let channel = format!("socket.io#/#{room}#");
        redis.cli(&["PUBSUB", "SHARDNUMSUB", &channel]).contains("\n1")
    };
    assert!(subscribed("r") && !subscribed("s"));
    a.adapter.room_deleted(&"r".into());
    eventually("unsubscribed", || !subscribed("r")).await;
}

#[tokio::test]
async fn subscriptions_come_back_with_redis() {
    let mut redis = RedisServer::start();
    let (a, b) = (server(&redis), server(&redis));
    a.connect("x", &["r"]).await;
    b.connect("y", &["r"]).await;
    redis.kill();
    // Local delivery goes on meanwhile.
    a.adapter.broadcast(event(1), BroadcastOptions::room("r")).wait().await;
    assert_eq!(numbers(&a.sockets.received("x")), [1]);
    redis.start_again();
    let mut sent = 1;
    for _ in 0..1_000 {
        sent += 1;
        b.adapter.broadcast(event(sent), BroadcastOptions::room("r"));
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        if numbers(&a.sockets.received("x")).contains(&sent) {
            return;
        }
    }
    panic!("nothing arrives after Redis came back");
}

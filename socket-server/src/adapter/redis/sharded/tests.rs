//! Servers that share a real Redis.

use std::sync::Arc;

use super::{Sharded, ShardedAdapter};
use crate::adapter::redis::client::Unobserved;
use crate::adapter::redis::testing::{self, FakeSockets, RedisServer, Server};

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
    testing::only_rooms_that_are_here_are_subscribed_to(&redis, &server(&redis), "SHARDNUMSUB").await;
}

#[tokio::test]
async fn subscriptions_come_back_with_redis() {
    let redis = RedisServer::start();
    let servers = [server(&redis), server(&redis)];
    testing::subscriptions_come_back_with_redis(redis, servers, "SHARDNUMSUB").await;
}

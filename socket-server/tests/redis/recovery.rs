//! Clients that move between server processes, and processes that die, while numbered messages flow.

use crate::node;
use crate::process::Process;
use crate::redis_server::RedisServer;

fn fleet_of_three(name: &str) {
    let mut redis = RedisServer::start();
    let start = || Process::start(&redis.url(), "streams", &[]);
    let mut servers = [start(), start(), start()];
    let urls: Vec<String> = servers.iter().map(|server| server.url.clone()).collect();
    node::scenario(name, &urls, |command| match command {
        "kill 0" => servers[0].kill(),
        "kill redis" => redis.kill(),
        "start redis" => redis.start_again(),
        other => panic!("unknown command {other}"),
    });
}

#[test]
fn connections_that_are_cut_again_and_again_lose_and_double_nothing() {
    fleet_of_three("redis: connections are cut");
}

#[test]
fn a_killed_server_loses_and_doubles_nothing() {
    fleet_of_three("redis: a server is killed");
}

#[test]
fn a_restarted_redis_loses_and_doubles_nothing() {
    fleet_of_three("redis: redis is restarted");
}

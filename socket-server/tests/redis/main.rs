//! Fleets on a real Redis, with stock clients, and with Node servers and the emitter from npm among them.
#![allow(clippy::unwrap_used)] // whatever fails here fails the test

mod mixed;
mod node;
#[path = "../support/npm.rs"]
mod npm;
mod process;
mod recovery;
#[path = "../../src/adapter/redis/testing/redis_server.rs"]
#[allow(dead_code)]
mod redis_server;
mod topologies;

//! Adapters that share rooms through Redis, in the formats of the npm packages: Node and Rust servers, and
//! `@socket.io/redis-emitter`, form one fleet.

mod action;
mod client;
mod cluster;
mod entry_id;
mod envelope;
mod message;
pub(crate) mod msgpack;
mod requests;
mod session;
mod sockets;
mod streams;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod vectors;

pub use client::{RedisError, RedisObserver, Unobserved};
pub use streams::{Streams, StreamsOptions};

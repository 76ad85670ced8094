//! Adapters that share rooms through Redis, in the formats of the npm packages: Node and Rust servers, and
//! `@socket.io/redis-emitter`, form one fleet.

mod action;
mod channels;
mod classic;
mod client;
mod cluster;
mod entry_id;
mod envelope;
mod message;
pub(crate) mod msgpack;
mod outgoing;
mod requests;
mod session;
mod sharded;
mod sockets;
mod streams;
mod subscriptions;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod vectors;

pub use classic::Classic;
pub(crate) use client::Redis;
pub use client::{RedisError, RedisObserver, Unobserved};
pub use sharded::Sharded;
pub use streams::{Streams, StreamsOptions};

//! Adapters that share rooms through Redis, in the formats of the npm packages: Node and Rust servers, and
//! `@socket.io/redis-emitter`, form one fleet.

mod client;
mod entry_id;
mod envelope;
mod message;
pub(crate) mod msgpack;
mod session;
#[cfg(test)]
mod vectors;

pub use client::{RedisError, RedisObserver, Unobserved};

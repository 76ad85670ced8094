//! Clients that do harm, meant or not: each is let go in time, and takes no more memory than it may.
#![allow(clippy::unwrap_used)] // whatever fails here fails the test

mod http;
mod raw;
mod slow;
#[path = "../support/mod.rs"]
mod support;
mod upgrades;
mod websocket;

//! The program as a pod: its options, admin port, drain and signals, on the real process.
#![allow(clippy::unwrap_used)] // whatever fails here fails the test

mod admin;
mod app;
mod capacity;
mod dashboards;
mod drain;
mod http;
mod load;
#[path = "../support/npm.rs"]
mod npm;
mod options;
mod process;
mod proxy;
mod redis;
mod soak;
mod storm;

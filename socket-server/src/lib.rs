//! A Socket.IO server for fleets: Engine.IO 4 and Socket.IO 5 over hyper and tokio.
//!
//! | layer | module | what |
//! |---|---|---|
//! | Engine.IO | [`engine`] | connections: long-polling, WebSocket, upgrade, heartbeat, back-pressure |
//! | Socket.IO | [`packet`], [`io`] | packets; namespaces, sockets, rooms, events, acknowledgements |
//! | fleet | [`adapter`] | what is shared with other servers; recovery |
//! | pod | [`pod`], [`admin`], [`drain`], [`metrics`], [`config`], [`process`] | the pod contract |
//! | application | [`app`] | what the program serves without code of yours |
#![warn(missing_docs)]

pub mod adapter;
pub mod admin;
mod answers;
pub mod app;
pub mod arrivals;
pub mod config;
pub mod drain;
pub mod engine;
pub mod http_client;
pub mod io;
pub mod logging;
pub mod metrics;
pub mod options;
pub mod packet;
pub mod pod;
pub mod process;
#[cfg(any(test, fuzzing))]
pub mod properties;
pub mod server;
pub mod socket_port;
pub mod stats;
mod ticker;

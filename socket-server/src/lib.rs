//! A Socket.IO server for fleets: Engine.IO 4 and Socket.IO 5 over hyper and tokio.
//!
//! | layer | module | what |
//! |---|---|---|
//! | Engine.IO | [`engine`] | connections: long-polling, WebSocket, upgrade, heartbeat, back-pressure |
//! | Socket.IO | [`packet`], [`io`] | packets; namespaces, sockets, rooms, events, acknowledgements |
//! | fleet | [`adapter`] | what is shared with other servers; recovery |
#![warn(missing_docs)]

pub mod adapter;
pub mod io;
pub mod options;
pub mod packet;
pub mod stats;

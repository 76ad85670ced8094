//! The SocketFleet operator.

pub mod drain;

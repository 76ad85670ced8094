//! The SocketFleet operator.

pub mod drain;
pub mod fleet;
pub mod kinds;
pub mod offline;
pub mod open_sockets;
mod quantity;
pub mod settings;

//! The SocketFleet operator.

pub mod drain;
pub mod fleet;
pub mod kinds;
pub mod offline;
mod quantity;
pub mod settings;

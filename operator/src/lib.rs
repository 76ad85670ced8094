//! The SocketFleet operator.

pub mod cache;
pub mod certificates;
pub mod context;
pub mod controller;
pub mod drain;
pub mod fleet;
pub mod kinds;
pub mod leader;
pub mod metrics_api;
pub mod offline;
pub mod open_sockets;
mod quantity;
pub mod run;
pub mod settings;
pub mod telemetry;
pub mod triggers;

//! What the operator says of itself: logs, metrics, health.

pub mod logs;
pub mod metrics;
pub mod server;

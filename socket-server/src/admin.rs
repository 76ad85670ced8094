//! The admin port: probes, health, metrics and the drain, by the pod contract.

pub mod auth;
mod listen;
mod routes;

pub use listen::serve;
pub use routes::Routes;
pub(crate) use routes::health;

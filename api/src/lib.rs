//! The SocketFleet resource and the pod contract: types only, no client.
//!
//! * [`contract`]: what the operator and a fleet's server agree on; needs no Kubernetes types.
//! * [`fleet`] (feature `crd`): the `SocketFleet` resource, its defaults and its rules.
#![warn(missing_docs)]

pub mod contract;
#[cfg(feature = "crd")]
pub mod fleet;

#[cfg(feature = "crd")]
pub use fleet::{SocketFleet, SocketFleetSpec, SocketFleetStatus};

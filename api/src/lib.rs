//! The SocketFleet resource and the pod contract: types only, no client.
#![warn(missing_docs)]

pub mod contract;

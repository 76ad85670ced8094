//! A fleet in virtual time.
//!
//! The drain machine is the operator's own; what is simulated is all that it acts upon: ReplicaSet
//! controllers with their order of deletion and their late caches, kubelets that publish readiness late,
//! servers that drain as the pod contract says, clients that come back, nodes that get lost, and an
//! autoscaler with the arithmetic of the real one.

pub mod chaos;
pub mod clients;
pub mod cluster;
pub mod day;
pub mod hpa;
pub mod operator;
pub mod replicaset;
pub mod server;

pub use cluster::{Cluster, Settings};
pub use operator::Operator;

//! Tests on a real cluster: what they share. A test is a [`Scenario`]: a namespace of its own on the cluster
//! of `tests/cluster`, with the operator installed from its chart. Waiting is done by watching, never by
//! sleeping; what a failed test leaves is collected in `build/test-logs`.
//!
//! Tests panic where they find something wrong, so `expect` is at home here.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

mod clients;
mod cluster;
mod faults;
mod fleets;
mod history;
mod scenario;
mod stats;
mod until;

pub use clients::{ClientOptions, Clients};
pub use cluster::{Cluster, IMAGES, OPERATOR_NAMESPACE, OPERATOR_PODS, RELEASE, TAG, repository};
pub use faults::{Blow, has_machines, kill_operator, leader};
pub use fleets::{fleet, health_of, servers, small_fleet, sockets_on};
pub use history::History;
pub use scenario::{Scenario, Weight, scenario};
pub use stats::{Histogram, Stats};
pub use until::{Until, condition_is, is_ready, until_read};

//! Tests on a real cluster: `make test`, or `cargo test -p socketfleet-tests --test cluster [NAME]`.
#![allow(clippy::unwrap_used)]

mod api_accepts_and_refuses;
mod chart;
mod config_holds;
mod e2e_api_server;
mod e2e_cancel;
mod e2e_deadline;
mod e2e_delete_pod;
mod e2e_fleet_deleted;
mod e2e_memory;
mod e2e_node_drain;
mod e2e_operator_killed;
mod e2e_operator_restart;
mod e2e_redis_in_drain;
mod e2e_redis_restart;
mod e2e_rollout;
mod e2e_scale_cpu;
mod e2e_scale_in;
mod e2e_scale_out;
mod operator_reconciles;
mod operator_runs;
mod plugin;
mod prometheus_counts;
mod samples_apply;

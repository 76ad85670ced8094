//! Tests on a real cluster: `make test`, or `cargo test -p socketfleet-tests --test cluster [NAME]`.
#![allow(clippy::unwrap_used)]

mod api_accepts_and_refuses;

//! A fleet: observe → validate → plan → apply → report.

pub mod credentials;
pub mod names;
pub mod plan;
pub mod references;
pub mod validate;

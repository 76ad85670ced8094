//! What the process is given by the system it runs on.

mod cgroup;
pub mod code;
pub mod memory;
pub mod open_files;

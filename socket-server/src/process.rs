//! What the process is given by the system it runs on.

mod cgroup;
pub mod code;
pub mod memory;
pub mod open_files;

/// Takes memory in small pages alone, where the kernel gives huge ones unasked: one of 2 MiB is kept as long as a byte of
/// it is in use, which after a wave of clients is most of them.
pub fn refuse_huge_pages() {
    // Where it cannot be said, memory is taken as the kernel has it.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

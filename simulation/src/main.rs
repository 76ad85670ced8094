//! `make simulate`.

fn main() {}

//! Scenarios in Node, with the packages from npm.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::npm;

/// Runs a scenario of `tests/js` on the servers at `urls` and checks that it holds. What it prints is handed to
/// `command`, line by line.
pub fn scenario(name: &str, urls: &[String], mut command: impl FnMut(&str)) {
    let mut node = npm::node("redis-run.js")
        .arg(name)
        .args(urls)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node is installed");
    for line in BufReader::new(node.stdout.take().unwrap()).lines() {
        command(&line.unwrap());
    }
    let mut errors = String::new();
    node.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert!(node.wait().unwrap().success(), "{errors}");
}

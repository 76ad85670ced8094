//! A running `socket-server`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A `socket-server` that is ended with the test.
pub struct Process {
    child: Child,
    pub url: String,
}

impl Process {
    /// Starts it on free ports and waits until it serves.
    pub fn start(redis: &str, adapter: &str, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_socket-server"))
            .env_clear()
            .args(["--host", "127.0.0.1", "--port", "0", "--admin-port", "0", "--log-format", "json"])
            .envs([("REDIS_URL", redis), ("REDIS_ADAPTER", adapter)])
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let port = log.find_map(|line| serde_json::from_str::<Value>(&line.ok()?).ok()?["port"].as_u64());
        // Reads on, or the process could not write any more.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, url: format!("http://127.0.0.1:{}", port.expect("it serves")) }
    }

    /// Kills it as a lost node would be.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

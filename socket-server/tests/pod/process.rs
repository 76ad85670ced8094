//! A running `socket-server`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::{Answer, call};

/// How long anything may take before the test gives up: never measured, only a way not to hang.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The program, without the options of the environment that the tests run in.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_socket-server"));
    command.env_clear();
    command
}

/// A server that is ended with the test.
pub struct Process {
    child: Child,
    log: Receiver<Value>,
    pub port: u16,
    pub admin_port: u16,
}

impl Process {
    /// Starts it on free ports and waits until it serves.
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = program()
            .args(["--port", "0", "--admin-port", "0", "--log-format", "json"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, log) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if send.send(event).is_err() {
                    return;
                }
            }
        });
        let mut process = Self { child, log, port: 0, admin_port: 0 };
        let serving = process.logged("serving");
        process.port = serving["port"].as_u64().unwrap() as u16;
        process.admin_port = serving["admin_port"].as_u64().unwrap() as u16;
        process
    }

    /// Waits for a line of the log with this message.
    pub fn logged(&self, message: &str) -> Value {
        let mut seen = Vec::new();
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line["message"] == message => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("`{message}` was not logged ({error}): {seen:#?}"),
            }
        }
    }

    /// Calls the admin port.
    pub fn admin(&self, method: &str, path: &str) -> Answer {
        call(self.admin_port, method, path, &[], "")
    }

    /// Asks for a drain with a JSON body.
    pub fn drain(&self, body: &Value) -> Answer {
        call(self.admin_port, "POST", "/drain", &[], &body.to_string())
    }

    /// Waits until `/health` fits.
    pub fn health(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let health = self.admin("GET", "/health").json();
            if fits(&health) {
                return health;
            }
            assert!(start.elapsed() < PATIENCE, "it never came: {health:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Bytes of memory that it has taken (PSS, without the pages of its program).
    pub fn memory(&self) -> u64 {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).unwrap();
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).unwrap();
        pss.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Waits until its memory fits.
    pub fn memory_until(&self, fits: impl Fn(u64) -> bool) -> u64 {
        let start = Instant::now();
        loop {
            let memory = self.memory();
            if fits(memory) {
                return memory;
            }
            assert!(start.elapsed() < PATIENCE, "it never came: {memory} bytes");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub fn ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it did not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

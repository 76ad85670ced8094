//! A real Redis of a test's own.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Marks the arguments of a sentinel.
const SENTINEL: &str = "sentinel";

/// A `redis-server` on a port of its own; ends with the test.
pub struct RedisServer {
    port: u16,
    directory: PathBuf,
    arguments: Vec<String>,
    process: Child,
}

impl RedisServer {
    /// Starts one that keeps what it is told across a restart.
    pub fn start() -> Self {
        let server = Self::with(|_| Vec::new());
        server.wait();
        server
    }

    /// Starts one with more arguments, which may name files in its directory.
    pub fn with(arguments: impl Fn(&Path) -> Vec<String>) -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let directory = std::env::temp_dir().join(format!("redis-test-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let arguments = arguments(&directory);
        let process = run(port, &directory, &arguments);
        Self { port, directory, arguments, process }
    }

    /// Starts a sentinel with this configuration.
    pub fn sentinel(configuration: &str) -> Self {
        let sentinel = Self::with(|directory| {
            let file = directory.join("sentinel.conf");
            std::fs::write(&file, configuration).unwrap();
            vec![SENTINEL.into(), file.to_string_lossy().into_owned()]
        });
        sentinel.wait();
        sentinel
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Waits until it answers.
    pub fn wait(&self) {
        for _ in 0..500 {
            if self.cli(&["PING"]).trim() == "PONG" {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not answer");
    }

    /// Kills it as a lost node would be.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Stops it without its clients noticing, as a lost network does.
    pub fn hang(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }

    /// Starts it again, with what it had.
    pub fn start_again(&mut self) {
        self.process = run(self.port, &self.directory, &self.arguments);
        self.wait();
    }

    /// Starts it again with nothing.
    pub fn start_again_empty(&mut self) {
        std::fs::remove_dir_all(&self.directory).unwrap();
        std::fs::create_dir_all(&self.directory).unwrap();
        self.start_again();
    }

    /// Runs one command with `redis-cli`.
    pub fn cli(&self, args: &[&str]) -> String {
        let output =
            Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn run(port: u16, directory: &Path, arguments: &[String]) -> Child {
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut command = Command::new("redis-server");
    if let [mark, file] = arguments
        && mark == SENTINEL
    {
        command.args([file, "--sentinel", "--port", &port.to_string()]);
    } else {
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(directory)
            .args(arguments);
    }
    command.stdout(Stdio::null()).spawn().expect("redis-server is installed (Debian package redis-server)")
}

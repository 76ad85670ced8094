//! Stock `socket.io-client` sockets in rooms that account for every message: `tests/client` as a Node process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::call;
use crate::process::PATIENCE;

/// A load of clients that ends with the test.
pub struct Load {
    child: Child,
    port: u16,
}

impl Load {
    /// Opens so many sockets in rooms of three, one message per socket and second, and waits until all have
    /// joined.
    pub fn start(url: &str, sockets: u64, transports: &str) -> Self {
        let mut child = Command::new("node")
            .arg(installed().join("src/main.js"))
            .args(["--url", url, "--sockets", &sockets.to_string(), "--transports", transports])
            .args(["--room-size", "3", "--rate", "0", "--open-rate", "500", "--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is installed");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
        let load = Self { child, port };
        // They speak from here on: what somebody hears between its join and the answer is not accounted for.
        load.until(|stats| stats["joined"] == sockets);
        assert_eq!(call(port, "POST", "/load", &[], &json!({ "rate": 1 }).to_string()).status, 200);
        load
    }

    /// What has happened so far.
    pub fn stats(&self) -> Value {
        call(self.port, "GET", "/stats", &[], "").json()
    }

    /// Waits until the stats fit.
    pub fn until(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let stats = self.stats();
            if fits(&stats) {
                return stats;
            }
            assert!(start.elapsed() < PATIENCE, "it never came: {stats:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Falls silent, waits until everything has arrived, and checks that nothing was lost or doubled.
    pub fn settle(&self) -> Value {
        let patience = json!({ "timeoutMs": PATIENCE.as_millis() as u64 - 5_000 });
        let stats = call(self.port, "POST", "/settle", &[], &patience.to_string()).json();
        assert_eq!(stats["outstanding"], json!({ "unacked": 0, "undelivered": 0 }), "{stats:#}");
        for count in ["lost", "doubled", "failed", "unrecovered"] {
            assert_eq!(stats[count], 0, "{count} in {stats:#}");
        }
        assert!(stats["sent"].as_u64() > Some(0) && stats["acked"] == stats["sent"], "{stats:#}");
        stats
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A copy of the client with its packages, installed once as the lock file says.
fn installed() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/client"));
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("load-client");
        let locked = std::fs::read(source.join("package-lock.json")).unwrap();
        std::fs::create_dir_all(target.join("src")).unwrap();
        for file in std::fs::read_dir(source.join("src")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), target.join("src").join(file.file_name())).unwrap();
        }
        let done = target.join("installed-lock.json");
        if std::fs::read(&done).ok().as_ref() != Some(&locked) {
            for file in ["package.json", "package-lock.json"] {
                std::fs::copy(source.join(file), target.join(file)).unwrap();
            }
            let arguments = ["ci", "--omit=dev", "--silent", "--no-audit", "--ignore-scripts"];
            let npm = Command::new("npm").args(arguments).current_dir(&target).status();
            assert!(npm.expect("npm is installed").success());
            std::fs::write(&done, &locked).unwrap();
        }
        target
    })
}

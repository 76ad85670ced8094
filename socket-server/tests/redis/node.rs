//! Scenarios in Node, with the packages from npm.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Runs a scenario of `tests/js` on the servers at `urls` and checks that it holds. What it prints is handed to
/// `command`, line by line.
pub fn scenario(name: &str, urls: &[String], mut command: impl FnMut(&str)) {
    let mut node = Command::new("node")
        .arg(scripts().join("redis-run.js"))
        .arg(name)
        .args(urls)
        .env("NODE_PATH", modules())
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

fn scripts() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/js"))
}

/// The npm packages, installed once as the lock file says.
fn modules() -> &'static Path {
    static MODULES: OnceLock<PathBuf> = OnceLock::new();
    MODULES.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node-fleet");
        let locked = std::fs::read(scripts().join("package-lock.json")).unwrap();
        let installed = target.join("installed-lock.json");
        if std::fs::read(&installed).ok().as_ref() != Some(&locked) {
            std::fs::create_dir_all(&target).unwrap();
            for file in ["package.json", "package-lock.json"] {
                std::fs::copy(scripts().join(file), target.join(file)).unwrap();
            }
            let npm =
                Command::new("npm").args(["ci", "--silent", "--no-audit"]).current_dir(&target).status();
            assert!(npm.expect("npm is installed").success());
            std::fs::write(&installed, &locked).unwrap();
        }
        target.join("node_modules")
    })
}

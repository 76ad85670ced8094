//! The scenarios in Node, and the npm packages that they need.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Node, told where the packages are, to run a script of `tests/js`.
pub fn node(script: &str) -> Command {
    let mut node = Command::new("node");
    node.arg(scripts().join(script)).env("NODE_PATH", modules());
    node
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

//! A real server on loopback and stock clients as Node processes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use socket_server::options::ServerOptions;
use socket_server::server::Server;
use tokio::net::TcpListener;

/// Serves on a free port; returns the URL. `prepare` registers the handlers.
pub async fn serve(options: ServerOptions, prepare: impl FnOnce(&Server)) -> (Server, String) {
    let server = Server::new(options);
    prepare(&server);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = server.clone();
    tokio::spawn(async move { serving.serve(listener).await });
    (server, url)
}

/// Runs a scenario of `tests/js` and checks that it holds.
pub async fn scenario(name: &'static str, url: &str) {
    let url = url.to_owned();
    let run = move || {
        let output = Command::new("node")
            .arg(scripts().join("run.js"))
            .args([name, &url])
            .env("NODE_PATH", modules())
            .output()
            .expect("node is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    tokio::task::spawn_blocking(run).await.unwrap();
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

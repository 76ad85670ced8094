//! Both protocols on the wire, packet by packet: the example of the engine alone, and the program that echoes.
#![allow(clippy::unwrap_used)] // whatever fails here fails the test

#[path = "../examples/engine_echo.rs"]
#[allow(dead_code)] // its main
mod engine_echo;
#[path = "pod/http.rs"]
#[allow(dead_code)] // the tests of pods use more of it
mod http;
#[path = "support/npm.rs"]
mod npm;
#[path = "pod/process.rs"]
#[allow(dead_code)] // likewise
mod process;

use clap::Parser;

/// Flags that both servers take.
const FLAGS: [&str; 12] = [
    "--ping-interval",
    "300",
    "--ping-timeout",
    "2000",
    "--max-payload",
    "1000000",
    "--connect-timeout",
    "3000",
    "--host",
    "127.0.0.1",
    "--port",
    "0",
];

fn scenario(name: &str, url: &str) {
    let output = npm::node("run.js").args([name, url]).output().expect("node is installed");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engine() {
    let args = engine_echo::Args::parse_from(["engine_echo"].into_iter().chain(FLAGS));
    let (listens, address) = tokio::sync::oneshot::channel();
    tokio::spawn(engine_echo::serve(args, |at| listens.send(at).unwrap()));
    let url = format!("http://{}", address.await.unwrap());
    tokio::task::spawn_blocking(move || scenario("protocol: engine", &url)).await.unwrap();
}

#[test]
fn socket() {
    let server =
        process::Process::start(&["--app", "echo"].iter().chain(&FLAGS[..10]).copied().collect::<Vec<_>>());
    scenario("protocol: socket", &format!("http://127.0.0.1:{}", server.port));
}

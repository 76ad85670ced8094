//! A real server on loopback and stock clients as Node processes.

mod npm;

use socket_server::options::ServerOptions;
use socket_server::server::Server;
use tokio::net::TcpListener;

/// Serves on a free port; returns the URL. `prepare` registers the handlers.
pub async fn serve(options: ServerOptions, prepare: impl FnOnce(&Server)) -> (Server, String) {
    let server = Server::new(options);
    prepare(&server);
    serve_with(server).await
}

/// The same with a server that is made already.
pub async fn serve_with(server: Server) -> (Server, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = server.clone();
    tokio::spawn(async move { serving.serve(listener).await });
    (server, url)
}

/// Runs a scenario of `tests/js` and checks that it holds.
pub async fn scenario(name: &'static str, url: &str) {
    let mut node = npm::node("run.js");
    node.args([name, url]);
    let run = move || {
        let output = node.output().expect("node is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}

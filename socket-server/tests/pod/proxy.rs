//! What a Service is to clients: one address, behind it the servers that take new connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// Forwards each connection to the server that is chosen at its beginning.
pub struct Proxy {
    target: Arc<AtomicU16>,
    address: SocketAddr,
    _runtime: Runtime,
}

impl Proxy {
    /// One that forwards to a port of this machine.
    pub fn to(port: u16) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let target = Arc::new(AtomicU16::new(port));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(forward(listener, target.clone()));
        Self { target, address, _runtime: runtime }
    }

    /// Sends new connections elsewhere; those that are open stay.
    pub fn switch(&self, port: u16) {
        self.target.store(port, Relaxed);
    }

    /// Where clients connect to.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn forward(listener: TcpListener, target: Arc<AtomicU16>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let port = target.load(Relaxed);
        tokio::spawn(async move {
            if let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}

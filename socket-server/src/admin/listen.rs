//! Connections to the admin port: few, bounded and in time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::routes::Routes;

/// Connections that are served at once: the operator, Prometheus, the kubelet and people.
const CONNECTIONS: usize = 128;
/// For the head of a request, and for an idle connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// After a failed accept (no file descriptor is left, say), so that it is not tried in a tight loop.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves the admin port for as long as it is polled.
pub async fn serve(listener: TcpListener, routes: Routes) {
    let routes = Arc::new(routes);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let routes = routes.clone();
                tokio::spawn(async move {
                    connection(stream, peer, routes).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin port cannot accept");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, routes: Arc<Routes>) {
    let service = service_fn(|request| {
        let routes = routes.clone();
        async move { Ok::<_, std::convert::Infallible>(routes.answer(request, peer.ip()).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, %peer, "an admin connection ended");
    }
}

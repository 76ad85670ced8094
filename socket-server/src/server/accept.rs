//! Takes connections from the kernel.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::engine::{Engine, Fallback};

/// Connections taken before other tasks get their turn.
const BATCH: usize = 32;
/// After an error of the process (no file left, say) and not of one connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the future is dropped.
pub(super) async fn run(engine: Arc<Engine>, listener: TcpListener, fallback: Fallback) {
    let mut taken = 0;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Messages are written whole: to wait for more would only delay them.
                let _ = stream.set_nodelay(true);
                tokio::spawn(Arc::clone(&engine).serve(stream, peer, Arc::clone(&fallback)));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(PAUSE).await;
            }
        }
        taken += 1;
        if taken % BATCH == 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

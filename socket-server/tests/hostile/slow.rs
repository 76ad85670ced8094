//! Stock clients that do not read for a while: more waits for them than may.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket_server::adapter::{Adapter, MemoryAdapter, MemoryOptions};
use socket_server::options::ServerOptions;
use socket_server::server::Server;

use crate::support::{scenario, serve_with};

/// Bytes that may wait for a client.
const MAX_QUEUED: usize = 1 << 20;
/// Bytes of a message: what the kernel takes for a client that does not read is known only about.
const PADDING: usize = 64 << 10;

/// A server whose log holds so many bytes.
fn server(max_log_bytes: usize) -> Server {
    let mut options = ServerOptions::default();
    options.engine.max_queued_bytes = MAX_QUEUED;
    let log = MemoryOptions { max_log_bytes, ..MemoryOptions::default() };
    let adapter = move |local| Arc::new(MemoryAdapter::new(local, log.clone())) as Arc<dyn Adapter>;
    let server = Server::builder(options).adapter(Arc::new(adapter)).build();
    let root = server.io().root();
    root.on("join", |socket, event| {
        socket.join("r");
        event.ack(()).unwrap();
    });
    // Numbered messages to the room; the second argument says whether they may be lost.
    root.on("pad", |socket, event| {
        let (numbers, volatile): ((u64, u64), bool) = (event.get(0).unwrap(), event.get(1).unwrap());
        for n in numbers.0..numbers.1 {
            let room = socket.namespace().to("r");
            let room = if volatile { room.volatile() } else { room };
            let _ = room.emit("padded", (n, "x".repeat(PADDING))).unwrap();
        }
        event.ack(()).unwrap();
    });
    let counting = server.clone();
    root.on("counts", move |_, event| {
        let stats = counting.stats();
        event.ack((stats.slow_consumers.get(), stats.volatile_dropped.get())).unwrap();
    });
    server
}

/// Runs a scenario; returns the most bytes that waited for one client.
async fn most_queued(name: &'static str, max_log_bytes: usize) -> usize {
    let (server, url) = serve_with(server(max_log_bytes)).await;
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let watch = tokio::spawn(async move {
        loop {
            let queued = server.connections().iter().map(|connection| connection.queued_bytes()).max();
            seen.fetch_max(queued.unwrap_or(0), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    scenario(name, &url).await;
    watch.abort();
    most.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_reads_too_late_comes_back_and_has_missed_nothing() {
    let most = most_queued("slow: recovers", 128 << 20).await;
    assert!(most > 0 && most <= MAX_QUEUED + 2 * PADDING, "{most} bytes waited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_has_missed_too_much_is_told_so_by_a_new_session() {
    most_queued("slow: cannot recover", 1 << 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_volatile_is_dropped_and_the_rest_is_kept() {
    let most = most_queued("slow: volatile", 128 << 20).await;
    assert!(most <= 3 * PADDING, "{most} bytes waited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_not_poll_comes_back_and_has_missed_nothing() {
    most_queued("slow: polling", 128 << 20).await;
}

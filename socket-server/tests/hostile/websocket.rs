//! WebSockets whose frames do not end, are too large, or are none.

use socket_server::server::Server;

use crate::raw::{Raw, eventually, frame, impatient};
use crate::support::serve;

/// Code of the close frame that ends what a server said.
fn close_code(said: &[u8]) -> u16 {
    let at = said.windows(2).rposition(|two| two == [0x88, 2]);
    let at = at.unwrap_or_else(|| panic!("no close frame in {:?}", String::from_utf8_lossy(said)));
    u16::from_be_bytes([said[at + 2], said[at + 3]])
}

async fn open() -> (Server, Raw) {
    let (server, url) = serve(impatient(), |_| {}).await;
    let mut raw = Raw::websocket(&url, None).await;
    raw.until("}").await;
    (server, raw)
}

#[tokio::test]
async fn a_frame_that_does_not_end_is_not_waited_for() {
    for begin in [
        &[0x81, 0x80 | 126, 0x27, 0x10, 0, 0, 0, 0][..],
        // A message in fragments: no pong fits in between.
        &[0x01, 0x81, 0, 0, 0, 0, b'4', 0x80, 0x80 | 126, 0x27, 0x00, 0, 0, 0, 0],
    ] {
        let (server, mut raw) = open().await;
        raw.send(begin).await;
        raw.trickle(b"\0").await;
        assert_eq!(server.stats().ping_timeouts.get(), 1);
        eventually("it is forgotten", || server.open_connections() == 0).await;
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_as_soon_as_it_is_known() {
    for message in [
        vec![0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0],
        [frame(0x02, &[0; 6_000]), frame(0x80, &[0; 6_000])].concat(),
    ] {
        let (_server, mut raw) = open().await;
        raw.send(&message).await;
        assert_eq!(close_code(&raw.end().await), 1009);
    }
}

#[tokio::test]
async fn what_is_no_frame_of_a_client_is_refused() {
    for (bytes, code) in [
        (vec![0x81, 1, b'3'], 1002),
        (frame(0x83, b""), 1002),
        (frame(0xf1, b""), 1002),
        // Compressed, which nobody agreed to.
        (frame(0xc1, b"x"), 1002),
        (frame(0x89, &[0; 126]), 1002),
        (frame(0x09, b""), 1002),
        (frame(0x80, b""), 1002),
        ([frame(0x01, b"4"), frame(0x81, b"3")].concat(), 1002),
        (frame(0x81, &[b'4', 0xff]), 1007),
    ] {
        let (server, mut raw) = open().await;
        raw.send(&bytes).await;
        assert_eq!(close_code(&raw.end().await), code, "{bytes:?}");
        eventually("it is counted", || server.stats().protocol_errors.get() == 1).await;
    }
}

#[tokio::test]
async fn pings_without_end_whose_answers_nobody_reads_take_no_memory_without_end() {
    let mut options = impatient();
    options.engine.max_queued_bytes = 100_000;
    options.engine.ping_interval = std::time::Duration::from_secs(3_600);
    let (server, url) = serve(options, |_| {}).await;
    let mut raw = Raw::websocket(&url, None).await;
    raw.send_for_ever(&frame(0x89, b"").repeat(10_000)).await;
    assert_eq!(server.stats().slow_consumers.get(), 1);
    eventually("it is forgotten", || server.open_connections() == 0).await;
}

#[tokio::test]
async fn whoever_joins_nothing_is_let_go() {
    let mut options = impatient();
    options.connect_timeout = std::time::Duration::from_millis(100);
    let (server, url) = serve(options, |_| {}).await;
    let mut raw = Raw::websocket(&url, None).await;
    raw.until("}").await;
    assert_eq!(close_code(&raw.end().await), 1000);
    assert_eq!(server.stats().ping_timeouts.get(), 0);
}

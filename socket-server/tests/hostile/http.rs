//! Requests that do not end, or are too large.

use crate::raw::{Raw, eventually, get, impatient, post};
use crate::support::serve;

#[tokio::test]
async fn whoever_says_nothing_is_let_go() {
    let (_server, url) = serve(impatient(), |_| {}).await;
    assert_eq!(Raw::connect(&url).await.end().await, b"");
}

#[tokio::test]
async fn whoever_says_nothing_more_is_let_go() {
    let (_server, url) = serve(impatient(), |_| {}).await;
    let mut raw = Raw::connect(&url).await;
    raw.send(b"GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(raw.answer().await.0.starts_with("HTTP/1.1 404 "));
    assert_eq!(raw.end().await, b"");
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let (_server, url) = serve(impatient(), |_| {}).await;
    let mut raw = Raw::connect(&url).await;
    raw.send(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n").await;
    let said = raw.trickle(b"x: y\r\n").await;
    assert!(!said.contains(" 200 "), "{said}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (_server, url) = serve(impatient(), |_| {}).await;
    let mut raw = Raw::connect(&url).await;
    raw.send(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nx: ").await;
    raw.send_for_ever(&[b'y'; 4096]).await;
}

#[tokio::test]
async fn a_body_that_does_not_end_takes_its_session_with_it() {
    let (server, url) = serve(impatient(), |_| {}).await;
    let mut raw = Raw::connect(&url).await;
    let sid = raw.handshake().await;
    raw.send(post(&sid, "Content-Length: 9000\r\n").as_bytes()).await;
    let said = raw.trickle(b"4").await;
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    eventually("the session is gone", || server.open_connections() == 0).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_comes() {
    let (server, url) = serve(impatient(), |_| {}).await;
    for headers in ["Content-Length: 10001\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut raw = Raw::connect(&url).await;
        let sid = raw.handshake().await;
        raw.send(post(&sid, headers).as_bytes()).await;
        if headers.contains("chunked") {
            raw.send(&[b"2711\r\n", &[b'4'; 10_001][..]].concat()).await;
        }
        let (head, _) = raw.answer().await;
        assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
        eventually("the session is gone", || server.open_connections() == 0).await;
    }
}

#[tokio::test]
async fn a_request_that_is_cut_off_takes_its_session_with_it() {
    let (server, url) = serve(impatient(), |_| {}).await;
    let mut raw = Raw::connect(&url).await;
    let sid = raw.handshake().await;
    raw.send(&[post(&sid, "Content-Length: 4\r\n").as_bytes(), b"40"].concat()).await;
    drop(raw);
    eventually("the session is gone", || server.open_connections() == 0).await;
}

/// Two sessions over one connection, for example: what is pipelined is answered in turn.
#[tokio::test]
async fn requests_that_do_not_wait_for_answers_get_them_in_order() {
    let (_server, url) = serve(impatient(), |_| {}).await;
    let mut raw = Raw::connect(&url).await;
    raw.send(get("").repeat(3).as_bytes()).await;
    for _ in 0..3 {
        assert!(raw.answer().await.1.starts_with("0{"));
    }
}

//! WebSockets that come for a polling session, and do not take over.

use socket_server::server::Server;

use crate::raw::{Raw, eventually, frame, get, impatient, post, upgrade};
use crate::support::serve;

/// Heartbeats that do not get in the way.
fn patient_heartbeat() -> socket_server::options::ServerOptions {
    let mut options = impatient();
    options.engine.ping_interval = std::time::Duration::from_secs(3_600);
    options
}

async fn session() -> (Server, String, Raw, String) {
    let (server, url) = serve(patient_heartbeat(), |_| {}).await;
    let mut polls = Raw::connect(&url).await;
    let sid = polls.handshake().await;
    (server, url, polls, sid)
}

/// Joins the namespace `/` by a request with data, which the waiting poll tells of.
async fn join(url: &str, sid: &str) {
    let mut posts = Raw::connect(url).await;
    posts.send(&[post(sid, "Content-Length: 2\r\n").as_bytes(), b"40"].concat()).await;
    assert_eq!(posts.answer().await.1, "ok");
}

#[tokio::test]
async fn one_that_proves_nothing_is_let_go_and_polling_goes_on() {
    let (server, url, mut polls, sid) = session().await;
    polls.send(get(&sid).as_bytes()).await;
    let silent = Raw::websocket(&url, Some(&sid)).await;
    assert_eq!(silent.end().await, b"");
    join(&url, &sid).await;
    let (_, joined) = polls.answer().await;
    assert!(joined.starts_with("40{"), "the poll was left to wait: {joined}");
    assert_eq!(server.open_connections(), 1);
}

#[tokio::test]
async fn one_that_lies_is_let_go_at_once() {
    let (_server, url, _, sid) = session().await;
    for lie in
        [frame(0x81, b"2prose"), frame(0x82, b"2probe"), frame(0x81, &[b'2'; 5_000]), vec![0x81, 0x01, 0x32]]
    {
        let mut liar = Raw::websocket(&url, Some(&sid)).await;
        liar.send(&lie).await;
        assert_eq!(liar.end().await, b"");
    }
    let mut polls = Raw::connect(&url).await;
    polls.send(get(&sid).as_bytes()).await;
    join(&url, &sid).await;
    assert!(polls.answer().await.1.starts_with("40{"));
}

#[tokio::test]
async fn one_that_stops_half_way_is_let_go_and_polls_may_wait_again() {
    let (_server, url, mut polls, sid) = session().await;
    polls.send(get(&sid).as_bytes()).await;
    let mut half = Raw::websocket(&url, Some(&sid)).await;
    half.send(&frame(0x81, b"2probe")).await;
    assert_eq!(polls.answer().await.1, "6", "the poll ends, so that the client can pause");
    assert_eq!(half.end().await, b"\x81\x063probe");
    let mut polls = Raw::connect(&url).await;
    polls.send(get(&sid).as_bytes()).await;
    join(&url, &sid).await;
    assert!(polls.answer().await.1.starts_with("40{"));
}

#[tokio::test]
async fn many_that_are_cut_off_leave_the_session_as_it_was() {
    let (server, url, _polls, sid) = session().await;
    for _ in 0..50 {
        Raw::connect(&url).await.send(upgrade(Some(&sid)).as_bytes()).await;
    }
    // The session takes one that means it, as soon as the last of those is gone.
    let taken = || async {
        let mut raw = Raw::connect(&url).await;
        raw.send(upgrade(Some(&sid)).as_bytes()).await;
        raw.until("\r\n\r\n").await.starts_with("HTTP/1.1 101 ").then_some(raw)
    };
    let mut websocket = loop {
        if let Some(websocket) = taken().await {
            break websocket;
        }
    };
    websocket.send(&frame(0x81, b"2probe")).await;
    websocket.until("3probe").await;
    websocket.send(&frame(0x81, b"5")).await;
    websocket.send(&frame(0x81, b"40")).await;
    assert!(websocket.until("}").await.contains("40{"));
    eventually("the upgrade is counted", || server.stats().upgrades.get() == 1).await;
    assert_eq!(server.open_connections(), 1);
}

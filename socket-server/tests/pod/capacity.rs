//! What a full server says.

use serde_json::json;

use crate::admin::in_seconds;
use crate::http::{Answer, call};
use crate::process::Process;

fn handshake(server: &Process) -> Answer {
    call(server.port, "GET", "/socket.io/?EIO=4&transport=polling", &[], "")
}

#[test]
fn the_connection_too_many_is_refused_before_it_is_one() {
    let server = Process::start(&["--max-connections", "1"]);
    assert_eq!(handshake(&server).status, 200);
    let refused = handshake(&server);
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")), "{refused:?}");
    let health = server.health(|health| health["connections"] == 1);
    assert_eq!((&health["status"], &health["capacity"]), (&json!("healthy"), &json!(1)));
    assert_eq!(server.admin("GET", "/readyz").status, 200, "a full pod is a good pod");
}

#[test]
fn a_draining_server_keeps_its_sockets_and_takes_no_other() {
    let server = Process::start(&[]);
    assert_eq!(handshake(&server).status, 200);
    let hold = json!({ "deadline": in_seconds(60), "reconnectsPerSecond": 0, "reason": "NodeDrain" });
    let report = server.drain(&hold).json();
    assert_eq!((&report["phase"], &report["remaining"]), (&json!("draining"), &json!(1)));
    let refused = handshake(&server);
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")), "{refused:?}");
    assert_eq!(server.admin("GET", "/readyz").status, 200, "ready for as long as it has sockets");
    assert_eq!(call(server.port, "GET", "/health", &[], "").status, 503, "load balancers look elsewhere");
    server.admin("DELETE", "/drain");
    assert_eq!(handshake(&server).status, 200);
}

//! One HTTP request on a connection of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::process::PATIENCE;

/// An answer, or a request without its status.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Sends a request to a port of this machine and reads the answer.
pub fn call(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Version 1.0: the answer comes in one piece and ends with the connection.
    let mut request = format!("{method} {path} HTTP/1.0\r\nhost: test\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).expect("a status").parse().unwrap();
    Answer { status, head: head.into(), body: body.into() }
}

/// Takes requests and hands them on; each is answered with the status that `status` has for its number.
pub fn posts(listener: TcpListener, status: fn(usize) -> u16) -> Receiver<Answer> {
    let (send, posts) = channel();
    std::thread::spawn(move || {
        for (count, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let post = read_post(&mut stream);
            let answer =
                format!("HTTP/1.1 {} \r\nconnection: close\r\ncontent-length: 0\r\n\r\n", status(count));
            if stream.write_all(answer.as_bytes()).is_err() || send.send(post).is_err() {
                return;
            }
        }
    });
    posts
}

fn read_post(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).unwrap();
        bytes.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let request = Answer { status: 0, head: head.into(), body: body.into() };
            let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return request;
            }
        }
        assert!(count > 0, "a request that breaks off: {text}");
    }
}

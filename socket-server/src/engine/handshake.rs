//! What is kept of the request that opened a connection.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

/// The opening request, packed into one allocation: a connection keeps it as long as it lives.
#[derive(Debug)]
pub struct Handshake {
    /// The target, then `name: value` lines.
    head: Box<str>,
    peer: SocketAddr,
    issued: u64,
}

/// Headers that belong to the hop and not to the request.
const HOP: [&str; 4] = ["connection", "upgrade", "sec-websocket-key", "sec-websocket-version"];

impl Handshake {
    pub(super) fn new<B>(request: &http::Request<B>, peer: SocketAddr) -> Self {
        let target = request.uri().path_and_query().map_or("/", |t| t.as_str());
        let mut head = String::with_capacity(512);
        head.push_str(target);
        for (name, value) in request.headers().iter().filter(|(name, _)| !HOP.contains(&name.as_str())) {
            head.push('\n');
            head.push_str(name.as_str());
            head.push_str(": ");
            // HTTP values hold no line breaks; bytes beyond ASCII are opaque and rare.
            head.push_str(&String::from_utf8_lossy(value.as_bytes()));
        }
        let issued = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        Self { head: head.into_boxed_str(), peer, issued }
    }

    /// The request's target: path and query.
    pub fn url(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The headers in their order, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.lines().skip(1).filter_map(|line| line.split_once(": "))
    }

    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The query's parameters, decoded.
    pub fn queries(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        parse_query(self.url().split_once('?').map_or("", |(_, query)| query))
    }

    /// The first query parameter of this name.
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        self.queries().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// Address of the TCP peer: behind a proxy, the proxy's.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// When it came, Unix milliseconds.
    pub fn issued(&self) -> u64 {
        self.issued
    }
}

/// The parameters of a query, percent-decoded.
pub(super) fn parse_query(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = |at: usize| after.get(at).and_then(|b| (*b as char).to_digit(16));
        rest = after;
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            (b'+', ..) => bytes.push(b' '),
            (other, ..) => bytes.push(*other),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_kept_in_short() {
        let request = http::Request::get("/socket.io/?EIO=4&name=J%C3%B6rg+B%zz&x")
            .header("Host", "example.com")
            .header("Upgrade", "websocket")
            .header("X-Real-IP", "10.0.0.1")
            .body(())
            .unwrap();
        let kept = Handshake::new(&request, ([127, 0, 0, 1], 80).into());
        assert_eq!(kept.url(), "/socket.io/?EIO=4&name=J%C3%B6rg+B%zz&x");
        assert_eq!(kept.query("name").as_deref(), Some("Jörg B%zz"));
        assert_eq!(kept.query("x").as_deref(), Some(""));
        assert_eq!(kept.header("x-real-ip"), Some("10.0.0.1"));
        assert_eq!(kept.headers().count(), 2);
    }
}

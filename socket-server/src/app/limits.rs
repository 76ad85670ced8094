//! What one socket, or all together, may ask for in a time.

mod rate;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytestring::ByteString;
use parking_lot::Mutex;
use serde_json::json;

use super::reply;
use crate::config::Limits;
use crate::io::{ConnectError, Namespace, Socket};
use rate::{Rate, Spent};

/// Sockets are kept in so many parts, each with a lock of its own.
const PARTS: usize = 16;

/// Holds the sockets of a namespace to the limits.
pub fn enforce(namespace: &Namespace, limits: Limits) {
    let Limits { events_per_second, joins_per_minute, connects_per_second } = limits;
    if let Some(rate) = connects_per_second {
        cap_connects(namespace, Rate::per(Duration::from_secs(1), rate));
    }
    if let Some(rate) = events_per_second {
        let meter = Meter::new(Rate::per(Duration::from_secs(1), rate));
        meter.apply(namespace, "eventsPerSecond", |_| true);
    }
    if let Some(rate) = joins_per_minute {
        let meter = Meter::new(Rate::per(Duration::from_secs(60), rate));
        meter.apply(namespace, "joinsPerMinute", |event| event == "joinRoom");
    }
}

fn cap_connects(namespace: &Namespace, rate: Rate) {
    let spent = Arc::new(Mutex::new(Spent::default()));
    namespace.middleware(move |_| {
        let taken = spent.lock().take(rate, Instant::now());
        std::future::ready(taken.map_err(|wait| ConnectError {
            message: "Too many connections at once, try again later".into(),
            data: Some(json!({ "retryAfterMs": wait.as_millis() as u64 })),
        }))
    });
}

/// What each socket has spent of a rate.
struct Meter {
    rate: Rate,
    hasher: RandomState,
    parts: [Mutex<HashMap<ByteString, Spent>>; PARTS],
}

impl Meter {
    fn new(rate: Rate) -> Arc<Self> {
        Arc::new(Self { rate, hasher: RandomState::new(), parts: Default::default() })
    }

    fn part(&self, socket: &Socket) -> &Mutex<HashMap<ByteString, Spent>> {
        &self.parts[self.hasher.hash_one(socket.id()) as usize % PARTS]
    }

    /// Refuses the events that exceed the rate, and tells the client.
    fn apply(self: Arc<Self>, namespace: &Namespace, limit: &'static str, counts: fn(&str) -> bool) {
        let meter = self.clone();
        namespace.filter(move |socket, event| {
            if !counts(event.name()) {
                return true;
            }
            let taken = {
                let mut part = meter.part(socket).lock();
                part.entry(socket.id().clone()).or_default().take(meter.rate, Instant::now())
            };
            if let Err(wait) = taken {
                let wait = wait.as_millis();
                reply::refuse(socket, event, &format!("too fast (limit.{limit}): wait {wait} ms"));
            }
            taken.is_ok()
        });
        namespace.on_disconnect(move |socket, _| {
            self.part(&socket).lock().remove(socket.id());
        });
    }
}

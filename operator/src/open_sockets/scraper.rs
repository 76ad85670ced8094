//! Asks the pods, each when its turn comes.
//!
//! One task with one queue of turns, whatever the number of pods. Pods that do not answer wait ever longer
//! and have few places of their own, so that thousands of them neither cost anything nor keep the others
//! waiting.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::Instant;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

use super::schedule::together;
use super::{Failure, Fetch, OpenSockets, Uid};
use socketfleet_api::contract::Health;

/// Questions under way at the same time to pods that answer.
const PLACES: usize = 64;
/// Questions under way at the same time to pods that did not answer the last one.
const PLACES_FOR_SILENT: usize = 16;

/// Asks for ever. Ends only by being dropped.
pub async fn run(counts: OpenSockets, fetch: impl Fetch) {
    let mut turns = Turns::new();
    let mut answering = Lane::new(PLACES);
    let mut silent = Lane::new(PLACES_FOR_SILENT);
    loop {
        let next = tokio::select! {
            () = counts.shared.due.notified() => {
                for uid in counts.take_due() {
                    turns.now(uid);
                }
                continue;
            }
            Some(uid) = turns.next() => Next::Turn(uid),
            Some(answer) = answering.next() => Next::Answer(Box::new(answer)),
            Some(answer) = silent.next() => Next::Answer(Box::new(answer)),
        };
        match next {
            Next::Turn(uid) => match counts.turn(&uid) {
                Some(Place { admin, failures: 0 }) => answering.add(uid, admin),
                Some(Place { admin, failures: _ }) => silent.add(uid, admin),
                // Gone, or not running: the watch brings it back when there is something to ask.
                None => {}
            },
            Next::Answer(answer) => {
                let (uid, answer) = *answer;
                if let Some(delay) = counts.record(&uid, answer) {
                    turns.after(uid, delay);
                }
            }
        }
        answering.start(&fetch);
        silent.start(&fetch);
    }
}

enum Next {
    Turn(Uid),
    Answer(Box<(Uid, Result<Health, Failure>)>),
}

/// Where a pod's server is, and how often in a row it did not answer.
pub(super) struct Place {
    pub admin: SocketAddr,
    pub failures: u32,
}

impl OpenSockets {
    fn take_due(&self) -> Vec<Uid> {
        std::mem::take(&mut self.shared.state.lock().due)
    }
}

/// When each pod is asked next.
struct Turns {
    begun: Instant,
    queue: DelayQueue<Uid>,
    keys: HashMap<Uid, Key>,
}

impl Turns {
    fn new() -> Self {
        Self { begun: Instant::now(), queue: DelayQueue::new(), keys: HashMap::new() }
    }

    fn now(&mut self, uid: Uid) {
        self.after(uid, Duration::ZERO);
    }

    fn after(&mut self, uid: Uid, delay: Duration) {
        let delay = together(self.begun.elapsed(), delay);
        match self.keys.get(&uid) {
            Some(key) => self.queue.reset(key, delay),
            None => {
                let key = self.queue.insert(uid.clone(), delay);
                self.keys.insert(uid, key);
            }
        }
    }

    /// `None` while nobody waits.
    async fn next(&mut self) -> Option<Uid> {
        let uid = self.queue.next().await?.into_inner();
        self.keys.remove(&uid);
        Some(uid)
    }
}

type Question<'a> = BoxFuture<'a, (Uid, Result<Health, Failure>)>;

/// Pods whose turn has come, and the questions under way.
struct Lane<'a> {
    places: usize,
    waiting: VecDeque<(Uid, SocketAddr)>,
    asked: FuturesUnordered<Question<'a>>,
}

impl<'a> Lane<'a> {
    fn new(places: usize) -> Self {
        Self { places, waiting: VecDeque::new(), asked: FuturesUnordered::new() }
    }

    fn add(&mut self, uid: Uid, admin: SocketAddr) {
        self.waiting.push_back((uid, admin));
    }

    /// Fills the free places.
    fn start(&mut self, fetch: &'a impl Fetch) {
        while self.asked.len() < self.places {
            let Some((uid, admin)) = self.waiting.pop_front() else { return };
            self.asked.push(async move { (uid, fetch.health(admin).await) }.boxed());
        }
    }

    /// `None` while no question is under way.
    async fn next(&mut self) -> Option<(Uid, Result<Health, Failure>)> {
        self.asked.next().await
    }
}

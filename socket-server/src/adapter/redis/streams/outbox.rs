//! This server's publications on their way through the stream and back: pure.
//!
//! A publication is handed to this server's own sockets when it comes back in the stream, not when it is
//! made: so all sockets of the fleet get all events in one order, and an offset says exactly what its client
//! has. While Redis is away they are served at once instead (*ahead*), the publications wait here, and the
//! offsets say that ([`Offset`](super::offset::Offset)); when they come back at last, they are passed over.

use std::collections::VecDeque;
use std::sync::Arc;

/// Publications that wait at most, and their bytes. Beyond, the oldest is given up for the other servers.
const MAX_ITEMS: usize = 50_000;
const MAX_BYTES: usize = 64 << 20;

/// Publications that have come back and are kept, and their bytes: a Redis that loses its data may do so before the
/// other servers have read them.
const MAX_RECENT: usize = 256;
const MAX_RECENT_BYTES: usize = 1 << 20;

/// A publication and its number.
#[derive(Debug)]
pub struct Item<T> {
    /// Counts this server's publications, from 1.
    pub seq: u64,
    bytes: usize,
    /// What is published.
    pub value: T,
}

/// What has not come back yet.
#[derive(Debug)]
pub struct Outbox<T> {
    items: VecDeque<Arc<Item<T>>>,
    bytes: usize,
    /// Items at the front that the stream has.
    landed: usize,
    last: u64,
    /// Redis cannot be written to: own sockets are served ahead.
    away: bool,
    /// Up to here own sockets are served, or in `to_serve`.
    served: u64,
    to_serve: VecDeque<Arc<Item<T>>>,
    /// The last that have come back.
    recent: VecDeque<Arc<Item<T>>>,
    recent_bytes: usize,
    serving: bool,
    /// How many want nothing to be handed out ahead of the stream.
    holds: usize,
}

impl<T> Default for Outbox<T> {
    /// Away until the stream is first reached.
    fn default() -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
            landed: 0,
            last: 0,
            away: true,
            served: 0,
            to_serve: VecDeque::new(),
            recent: VecDeque::new(),
            recent_bytes: 0,
            serving: false,
            holds: 0,
        }
    }
}

impl<T> Outbox<T> {
    /// Takes a publication of about `bytes`. Returns how many others had to be given up.
    pub fn push(&mut self, value: T, bytes: usize) -> usize {
        self.last += 1;
        let item = Arc::new(Item { seq: self.last, bytes, value });
        self.bytes += bytes;
        self.items.push_back(item);
        let mut given_up = 0;
        while self.items.len() > MAX_ITEMS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.items.pop_front() else { break };
            self.bytes -= oldest.bytes;
            self.landed = self.landed.saturating_sub(1);
            // Its own sockets get it all the same.
            self.serve(oldest);
            given_up += 1;
        }
        if self.away {
            self.serve_all();
        }
        given_up
    }

    /// The next publications to send, in order. None left means that Redis is not away.
    pub fn unsent(&mut self, max: usize) -> Vec<Arc<Item<T>>> {
        let items: Vec<_> = self.items.iter().skip(self.landed).take(max).cloned().collect();
        if items.is_empty() {
            self.away = false;
        }
        items
    }

    /// The stream has everything up to `seq`.
    pub fn landed_up_to(&mut self, seq: u64) {
        self.landed = self.landed.max(self.items.partition_point(|item| item.seq <= seq));
    }

    /// Redis takes publications again.
    pub fn back(&mut self) {
        self.away = false;
    }

    /// Redis does not take publications: serves own sockets from now on.
    pub fn away(&mut self) {
        self.away = true;
        self.serve_all();
    }

    /// The stream cannot be read: serves own sockets what it has taken already. With nothing more to write, nobody else
    /// would notice that it does not come back.
    pub fn unread(&mut self) {
        self.serve_up_to(self.landed);
    }

    fn serve_all(&mut self) {
        self.serve_up_to(self.items.len());
    }

    /// Serves the first `end` items.
    fn serve_up_to(&mut self, end: usize) {
        let first = self.items.partition_point(|item| item.seq <= self.served);
        for item in self.items.range(first.min(end)..end).cloned().collect::<Vec<_>>() {
            self.serve(item);
        }
    }

    fn serve(&mut self, item: Arc<Item<T>>) {
        if item.seq > self.served {
            self.served = item.seq;
            self.to_serve.push_back(item);
        }
    }

    /// The next publication to hand to own sockets ahead of the stream, to be asked for until there is none.
    /// One caller at a time gets them: the order holds.
    pub fn next_to_serve(&mut self, again: bool) -> Option<Arc<Item<T>>> {
        if self.holds > 0 || (self.serving && !again) {
            return None;
        }
        let next = self.to_serve.pop_front();
        self.serving = next.is_some();
        next
    }

    /// Own sockets get nothing ahead of the stream until [`Self::release`]: what they are to get waits. `false`, and no hold,
    /// while some have got what has not come back.
    pub fn hold(&mut self) -> bool {
        let none_ahead = !self.serving && self.to_serve.is_empty() && self.ahead().is_none();
        self.holds += usize::from(none_ahead);
        none_ahead
    }

    /// Ends a hold. What has waited is next to serve.
    pub fn release(&mut self) {
        self.holds -= 1;
    }

    /// Own publication `seq` has come back. Returns what own sockets have not got yet, in order: it, and
    /// before it what Redis has lost.
    pub fn came_back(&mut self, seq: u64) -> Vec<Arc<Item<T>>> {
        let mut due = Vec::new();
        while self.items.front().is_some_and(|item| item.seq <= seq) {
            let Some(item) = self.items.pop_front() else { break };
            self.bytes -= item.bytes;
            self.landed = self.landed.saturating_sub(1);
            self.keep(item.clone());
            if item.seq > self.served {
                self.served = item.seq;
                due.push(item);
            }
        }
        due
    }

    fn keep(&mut self, item: Arc<Item<T>>) {
        self.recent_bytes += item.bytes;
        self.recent.push_back(item);
        while self.recent.len() > MAX_RECENT || self.recent_bytes > MAX_RECENT_BYTES {
            let Some(oldest) = self.recent.pop_front() else { break };
            self.recent_bytes -= oldest.bytes;
        }
    }

    /// Redis has lost the stream, but for what is numbered up to `kept`: what it had taken beyond is sent again, also
    /// what has come back but may not have reached the other servers. Those who have had a publication know it by its
    /// number.
    pub fn lost(&mut self, kept: u64) {
        let first = self.recent.partition_point(|item| item.seq <= kept);
        for item in self.recent.drain(first..).rev() {
            self.recent_bytes -= item.bytes;
            self.bytes += item.bytes;
            self.items.push_front(item);
        }
        self.landed = self.items.partition_point(|item| item.seq <= kept);
    }

    /// The last publication that own sockets have got and that has not come back.
    pub fn ahead(&self) -> Option<u64> {
        self.items.front().filter(|item| item.seq <= self.served).map(|_| self.served)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(items: Vec<Arc<Item<u64>>>) -> Vec<u64> {
        items.iter().map(|item| item.value).collect()
    }

    fn serve(outbox: &mut Outbox<u64>) -> Vec<u64> {
        let (mut served, mut again) = (Vec::new(), false);
        while let Some(item) = outbox.next_to_serve(again) {
            served.push(item.value);
            again = true;
        }
        served
    }

    #[test]
    fn what_the_stream_has_taken_and_nobody_can_read_is_served_once() {
        let mut outbox = connected();
        for n in 1..=3 {
            outbox.push(n, 1);
        }
        outbox.landed_up_to(2);
        outbox.unread();
        outbox.unread();
        assert_eq!(serve(&mut outbox), [1, 2]);
        assert_eq!(outbox.ahead(), Some(2));
        assert!(values(outbox.came_back(2)).is_empty());
        assert_eq!(values(outbox.came_back(3)), [3]);
    }

    #[test]
    fn what_redis_has_lost_is_sent_again_and_served_once() {
        let mut outbox = connected();
        for n in 1..=4 {
            outbox.push(n, 1);
        }
        outbox.landed_up_to(3);
        assert_eq!(values(outbox.came_back(2)), [1, 2]);
        outbox.away();
        assert_eq!(serve(&mut outbox), [3, 4]);
        outbox.lost(0);
        assert_eq!(values(outbox.unsent(9)), [1, 2, 3, 4]);
        assert_eq!(outbox.ahead(), Some(4));
        outbox.landed_up_to(4);
        assert!(values(outbox.came_back(4)).is_empty());
        assert_eq!(outbox.ahead(), None);
        // What the new stream has is not sent once more, whether it has come back or not.
        outbox.lost(4);
        assert!(outbox.unsent(9).is_empty());
        assert_eq!(outbox.ahead(), None);
    }

    fn connected() -> Outbox<u64> {
        let mut outbox = Outbox::default();
        assert!(outbox.unsent(1).is_empty());
        outbox
    }

    #[test]
    fn a_publication_is_served_when_it_comes_back() {
        let mut outbox = connected();
        outbox.push(1, 1);
        outbox.push(2, 1);
        assert_eq!((serve(&mut outbox), values(outbox.unsent(9))), (vec![], vec![1, 2]));
        outbox.landed_up_to(2);
        assert!(outbox.unsent(9).is_empty());
        assert_eq!((values(outbox.came_back(1)), values(outbox.came_back(2))), (vec![1], vec![2]));
        assert_eq!(outbox.ahead(), None);
    }

    #[test]
    fn while_redis_is_away_own_sockets_are_served_at_once_and_only_once() {
        let mut outbox = connected();
        outbox.push(1, 1);
        outbox.away();
        outbox.push(2, 1);
        assert_eq!((serve(&mut outbox), outbox.ahead()), (vec![1, 2], Some(2)));
        assert_eq!(values(outbox.unsent(9)), [1, 2]);
        outbox.landed_up_to(2);
        outbox.back();
        outbox.push(3, 1);
        assert!(outbox.came_back(1).is_empty());
        assert_eq!(outbox.ahead(), Some(2));
        assert!(outbox.came_back(2).is_empty());
        assert_eq!((outbox.ahead(), values(outbox.came_back(3))), (None, vec![3]));
    }

    #[test]
    fn what_is_to_be_served_ahead_waits_while_that_is_held_and_nothing_is_held_while_some_is_ahead() {
        let mut outbox = connected();
        assert!(outbox.hold());
        outbox.push(1, 1);
        outbox.away();
        assert!(serve(&mut outbox).is_empty());
        assert!(!outbox.hold());
        outbox.release();
        assert!(!outbox.hold(), "it waits to be served");
        let first = outbox.next_to_serve(false);
        assert!(first.is_some() && !outbox.hold(), "it is being served");
        assert!(outbox.next_to_serve(true).is_none() && !outbox.hold(), "it has not come back");
        assert!(outbox.came_back(1).is_empty());
        assert!(outbox.hold());
    }

    #[test]
    fn what_redis_has_lost_is_served_with_what_follows() {
        let mut outbox = connected();
        outbox.push(1, 1);
        outbox.push(2, 1);
        outbox.landed_up_to(2);
        assert_eq!(values(outbox.came_back(2)), [1, 2]);
    }

    #[test]
    fn at_the_bound_the_oldest_is_given_up_but_served() {
        let mut outbox = connected();
        outbox.push(1, MAX_BYTES);
        assert_eq!(outbox.push(2, 1), 1);
        assert_eq!((serve(&mut outbox), values(outbox.unsent(9))), (vec![1], vec![2]));
    }

    proptest! {
        /// Whatever happens, own sockets get each publication once, in order.
        #[test]
        fn each_is_served_once_and_in_order(steps in prop::collection::vec(0u8..6, 1..200)) {
            let (mut outbox, mut made, mut stream, mut read, mut served) = (Outbox::default(), 0u64, Vec::new(), 0, Vec::new());
            let mut run = |outbox: &mut Outbox<u64>, step: u8| {
                match step {
                    0 | 1 => { made += 1; outbox.push(made, 1); }
                    2 => outbox.away(),
                    3 => {
                        let batch = outbox.unsent(3);
                        stream.extend(batch.iter().map(|item| item.seq));
                        if let Some(last) = batch.last() {
                            outbox.landed_up_to(last.seq);
                            outbox.back();
                        }
                    }
                    _ => if let Some(&seq) = stream.get(read) {
                        read += 1;
                        served.extend(values(outbox.came_back(seq)));
                    }
                }
                served.extend(serve(outbox));
            };
            for step in steps {
                run(&mut outbox, step);
            }
            for step in std::iter::repeat_n([3, 4, 4, 4], 300).flatten() {
                run(&mut outbox, step);
            }
            prop_assert_eq!(served, (1..=made).collect::<Vec<_>>());
        }
    }
}

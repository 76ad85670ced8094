//! The events of the last minutes, for those who are away. Pure; instants come from outside.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytestring::ByteString;

use crate::adapter::{BroadcastOptions, Room};
use crate::packet::Payload;

/// What an entry costs beside its text.
const ENTRY_OVERHEAD: usize = size_of::<Entry>() + 64;

struct Entry {
    at: Instant,
    data: Payload,
    options: BroadcastOptions,
}

/// Events by number, oldest first. An offset names the last event that a client has seen.
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// Number of the first entry. Numbers begin at 1: offset 0 is the beginning.
    first: u64,
    bytes: usize,
    /// Tells this log's offsets from those of another process's.
    epoch: String,
    keep: Duration,
    max_bytes: usize,
}

impl Log {
    pub fn new(keep: Duration, max_bytes: usize) -> Self {
        let epoch = crate::engine::new_id()[..8].to_owned();
        Self { entries: VecDeque::new(), first: 1, bytes: 0, epoch, keep, max_bytes }
    }

    fn offset(&self, number: u64) -> ByteString {
        let mut digits = itoa::Buffer::new();
        [&self.epoch, "-", digits.format(number)].concat().into()
    }

    /// The number that an offset of this log names.
    fn number(&self, offset: &str) -> Option<u64> {
        let number = offset.strip_prefix(&*self.epoch)?.strip_prefix('-')?;
        number.parse().ok()
    }

    fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Offset of the last event.
    pub fn end(&self) -> ByteString {
        self.offset(self.next() - 1)
    }

    /// Adds an event; returns it with its offset.
    pub fn append(&mut self, now: Instant, data: Payload, options: &BroadcastOptions) -> Payload {
        let data = data.with_offset(&self.offset(self.next()));
        self.bytes += data.len() + ENTRY_OVERHEAD;
        self.entries.push_back(Entry { at: now, data: data.clone(), options: options.clone() });
        self.trim(now);
        data
    }

    /// Lets events go that nobody can ask for any more.
    pub fn forget_old(&mut self, now: Instant) {
        self.trim(now);
        if self.entries.is_empty() {
            self.entries.shrink_to_fit();
        }
    }

    fn trim(&mut self, now: Instant) {
        while let Some(oldest) = self.entries.front()
            && (self.bytes > self.max_bytes || now.duration_since(oldest.at) > self.keep)
        {
            self.bytes -= oldest.data.len() + ENTRY_OVERHEAD;
            self.entries.pop_front();
            self.first += 1;
        }
    }

    /// The events after `offset` that were meant for a member of `rooms`. `None`: some of them are gone, or the
    /// offset is not of this log.
    pub fn since(&self, offset: &str, rooms: &[Room]) -> Option<Vec<Payload>> {
        let seen = self.number(offset)?;
        if seen + 1 < self.first || seen >= self.next() {
            return None;
        }
        let missed = self.entries.iter().skip((seen + 1 - self.first) as usize);
        Some(missed.filter(|e| is_meant(&e.options, rooms)).map(|e| e.data.clone()).collect())
    }
}

fn is_meant(options: &BroadcastOptions, rooms: &[Room]) -> bool {
    let BroadcastOptions { rooms: to, except, flags: _ } = options;
    (to.is_empty() || rooms.iter().any(|room| to.contains(room)))
        && !rooms.iter().any(|room| except.contains(room))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(log: &mut Log, now: Instant, name: &str, room: &str) -> String {
        let payload = log.append(now, Payload::event(name, ()).unwrap(), &BroadcastOptions::room(room));
        payload.get::<String>(1).unwrap()
    }

    fn names(missed: Option<Vec<Payload>>) -> Vec<String> {
        missed.unwrap().iter().map(|p| p.get(0).unwrap()).collect()
    }

    #[test]
    fn who_was_away_gets_what_was_meant_for_it() {
        let (mut log, now) = (Log::new(Duration::from_secs(60), 1 << 20), Instant::now());
        let begin = log.end();
        let seen = append(&mut log, now, "seen", "a");
        append(&mut log, now, "other", "b");
        append(&mut log, now, "missed", "a");
        let rooms = ["a".into(), "me".into()];
        assert_eq!(names(log.since(&seen, &rooms)), ["missed"]);
        assert_eq!(names(log.since(&begin, &rooms)), ["seen", "missed"]);
        assert_eq!(names(log.since(&log.end(), &rooms)), [""; 0]);
        assert!(log.since("other-1", &rooms).is_none());
        assert!(log.since(&log.offset(99), &rooms).is_none());
    }

    #[test]
    fn the_excepted_get_nothing() {
        let (mut log, now) = (Log::new(Duration::from_secs(60), 1 << 20), Instant::now());
        let begin = log.end();
        let options =
            BroadcastOptions { except: [Room::from("me")].into_iter().collect(), ..Default::default() };
        log.append(now, Payload::event("e", ()).unwrap(), &options);
        assert_eq!(log.since(&begin, &["me".into()]).unwrap().len(), 0);
        assert_eq!(log.since(&begin, &["you".into()]).unwrap().len(), 1);
    }

    #[test]
    fn what_is_old_or_too_much_goes_and_a_gap_is_never_hidden() {
        let (mut log, now) = (Log::new(Duration::from_secs(60), 1 << 20), Instant::now());
        let begin = log.end();
        let first = append(&mut log, now, "first", "a");
        append(&mut log, now + Duration::from_secs(61), "second", "a");
        assert!(log.since(&begin, &["a".into()]).is_none());
        assert_eq!(names(log.since(&first, &["a".into()])), ["second"]);

        let mut small = Log::new(Duration::from_secs(60), 2 * ENTRY_OVERHEAD);
        let begin = small.end();
        for _ in 0..100 {
            append(&mut small, now, "e", "a");
        }
        assert!(small.entries.len() < 3);
        assert!(small.since(&begin, &["a".into()]).is_none());
    }
}

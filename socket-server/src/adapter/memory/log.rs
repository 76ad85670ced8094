//! The events of the last minutes, for those who are away. Pure; instants come from outside.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use bytestring::ByteString;
use smallvec::SmallVec;

use crate::adapter::{BroadcastOptions, Room};
use crate::packet::{OFFSET_FRAME, Payload};

/// What an entry costs beside its text.
const ENTRY_OVERHEAD: usize = size_of::<Entry>() + 64;
/// Size of a [`Chunk`].
const CHUNK: usize = 64 << 10;
/// Longest text that shares one: what it leaves unused of the chunk before is little.
const SHARES: usize = CHUNK / 8;

/// Memory that texts are written to one after another. An allocation for each, freed minutes later when its memory is cold,
/// would cost more than sending the event; and a slice of the message that it came with would keep all of that.
#[derive(Default)]
struct Chunk(BytesMut);

impl Chunk {
    /// Calls `write` with room for `len` bytes.
    fn with<T>(&mut self, len: usize, write: impl FnOnce(&mut BytesMut) -> T) -> T {
        if len > SHARES {
            return write(&mut BytesMut::with_capacity(len));
        }
        if self.0.capacity() < len {
            self.0 = BytesMut::with_capacity(CHUNK);
        }
        write(&mut self.0)
    }

    fn rooms(&mut self, rooms: &[Room]) -> SmallVec<[Room; 1]> {
        let copy = |room: &Room| {
            let bytes = self.with(room.len(), |chunk| {
                chunk.extend_from_slice(room.as_bytes());
                chunk.split().freeze()
            });
            ByteString::try_from(bytes).unwrap_or_else(|_| room.clone())
        };
        rooms.iter().map(copy).collect()
    }
}

struct Entry {
    at: Instant,
    data: Payload,
    rooms: SmallVec<[Room; 1]>,
    except: SmallVec<[Room; 1]>,
}

/// Events by number, oldest first. An offset names the last event that a client has seen.
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// Number of the first entry. Numbers begin at 1: offset 0 is the beginning.
    first: u64,
    bytes: usize,
    chunk: Chunk,
    /// Tells this log's offsets from those of another process's.
    epoch: String,
    keep: Duration,
    max_bytes: usize,
}

impl Log {
    pub fn new(keep: Duration, max_bytes: usize) -> Self {
        let epoch = crate::engine::new_id()[..8].to_owned();
        Self { entries: VecDeque::new(), first: 1, bytes: 0, chunk: Chunk::default(), epoch, keep, max_bytes }
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
        let offset = self.offset(self.next());
        let text = data.json().len() + offset.len() + OFFSET_FRAME;
        let data = self.chunk.with(text, |chunk| data.with_offset_in(chunk, &offset));
        let BroadcastOptions { rooms, except, flags: _ } = options;
        let (rooms, except) = (self.chunk.rooms(rooms), self.chunk.rooms(except));
        let entry = Entry { at: now, data: data.clone(), rooms, except };
        self.bytes += entry.cost();
        self.entries.push_back(entry);
        self.trim(now);
        data
    }

    /// Lets events go that nobody can ask for any more.
    pub fn forget_old(&mut self, now: Instant) {
        self.trim(now);
        if self.entries.is_empty() {
            self.entries.shrink_to_fit();
            self.chunk = Chunk::default();
        }
    }

    fn trim(&mut self, now: Instant) {
        while let Some(oldest) = self.entries.front()
            && (self.bytes > self.max_bytes || now.duration_since(oldest.at) > self.keep)
        {
            self.bytes -= oldest.cost();
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
        Some(missed.filter(|entry| entry.is_meant_for(rooms)).map(|entry| entry.data.clone()).collect())
    }
}

impl Entry {
    fn cost(&self) -> usize {
        let names = self.rooms.iter().chain(&self.except).map(|room| room.len()).sum::<usize>();
        self.data.len() + names + ENTRY_OVERHEAD
    }

    fn is_meant_for(&self, rooms: &[Room]) -> bool {
        (self.rooms.is_empty() || rooms.iter().any(|room| self.rooms.contains(room)))
            && !rooms.iter().any(|room| self.except.contains(room))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

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

    #[test]
    fn it_keeps_no_memory_of_the_message_that_named_the_room() {
        let (mut log, now) = (Log::new(Duration::from_secs(60), 1 << 20), Instant::now());
        let message = Bytes::from(vec![b'x'; 4_096]);
        let options = BroadcastOptions::room(Room::try_from(message.slice(..4)).unwrap());
        let begin = log.end();
        log.append(now, Payload::event("e", ()).unwrap(), &options);
        drop(options);
        assert!(message.is_unique());
        assert_eq!(names(log.since(&begin, &["xxxx".into()])), ["e"]);
    }

    #[test]
    fn short_and_long_texts_come_out_as_they_went_in() {
        let (mut log, now) = (Log::new(Duration::from_secs(60), 1 << 20), Instant::now());
        let begin = log.end();
        let texts: Vec<String> =
            [0, 1, SHARES - 40, SHARES, CHUNK, 3, CHUNK - 100].map(|n| "a".repeat(n)).into();
        for text in &texts {
            log.append(now, Payload::event("e", (text,)).unwrap(), &BroadcastOptions::room("r"));
        }
        let missed = log.since(&begin, &["r".into()]).unwrap();
        let read: Vec<String> = missed.iter().map(|payload| payload.get(1).unwrap()).collect();
        assert_eq!(read, texts);
    }
}

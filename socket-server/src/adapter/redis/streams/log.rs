//! The recent end of the stream, kept in memory: pure.
//!
//! A client that comes back has mostly missed little, and many come back at once: what they missed is then
//! here, and each costs Redis no more than its session.

use std::collections::{HashMap, VecDeque};

use bytestring::ByteString;

use super::offset::{Offset, Origin};
use crate::adapter::redis::entry_id::EntryId;
use crate::adapter::{BroadcastOptions, Room};
use crate::packet::Payload;

/// Entries and bytes that are kept at most.
const MAX_RECORDS: usize = 10_000;
const MAX_BYTES: usize = 8 << 20;
/// Servers whose publications are counted at most.
const MAX_SERVERS: usize = 10_000;

/// An event in the stream that can be recovered.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its place.
    pub id: EntryId,
    /// Which server wrote it, as its how-manieth; Node does not say.
    pub origin: Option<Origin>,
    /// Its namespace.
    pub nsp: ByteString,
    /// `[name, ...args]`, without offset.
    pub data: Payload,
    /// Whom it is for.
    pub options: BroadcastOptions,
}

impl Record {
    /// Whether a client of `rooms` that stands at `offset` has missed it.
    pub fn missed_by(&self, nsp: &str, rooms: &[Room], offset: &Offset) -> bool {
        let BroadcastOptions { rooms: to, except, flags } = &self.options;
        self.id > offset.id
            && self.nsp == nsp
            && !flags.volatile
            && !self.origin.as_ref().is_some_and(|origin| offset.covers(origin))
            && (to.is_empty() || to.iter().any(|room| rooms.contains(room)))
            && !except.iter().any(|room| rooms.contains(room))
    }

    /// The event for a client that comes back from `offset`. What it has ahead of the stream it still has, should it be cut
    /// off behind this one.
    pub fn for_client_at(&self, offset: &Offset) -> Payload {
        let reached = Offset { id: self.id, ahead: offset.ahead.clone() };
        self.data.with_offset(&reached.to_string())
    }
}

/// The last records of the stream, and how far it has been handed to this server's sockets.
#[derive(Debug)]
pub struct Log {
    records: VecDeque<Record>,
    bytes: usize,
    complete_after: EntryId,
    position: EntryId,
    /// The last publication of each server that counts them.
    last_of: HashMap<ByteString, u64>,
}

impl Log {
    /// An empty log of a stream that is read from `position` on.
    pub fn starting_at(position: EntryId) -> Self {
        Self {
            records: VecDeque::new(),
            bytes: 0,
            complete_after: position,
            position,
            last_of: HashMap::new(),
        }
    }

    /// Whether a publication has not been in the stream before: a server that lost its connection while writing
    /// may have written one twice.
    pub fn is_new(&mut self, origin: &Origin) -> bool {
        if self.last_of.len() >= MAX_SERVERS && !self.last_of.contains_key(&origin.uid) {
            // Those that have ended are forgotten, with those that have not.
            self.last_of.clear();
        }
        let last = self.last_of.entry(origin.uid.clone()).or_default();
        let new = origin.seq > *last;
        *last = origin.seq.max(*last);
        new
    }

    /// Whether a publication has been in the stream.
    pub fn has(&self, origin: &Origin) -> bool {
        self.last_of.get(&origin.uid).is_some_and(|last| *last >= origin.seq)
    }

    /// Everything up to here has been handed to the sockets.
    pub fn position(&self) -> EntryId {
        self.position
    }

    /// Everything after this and up to the position is in memory.
    pub fn complete_after(&self) -> EntryId {
        self.complete_after
    }

    /// The stream has been read up to `id`.
    pub fn advance(&mut self, id: EntryId) {
        self.position = self.position.max(id);
    }

    /// Keeps a record, and lets the oldest go.
    pub fn push(&mut self, record: Record) {
        self.bytes += size(&record);
        self.records.push_back(record);
        while self.records.len() > MAX_RECORDS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.records.pop_front() else { break };
            self.bytes -= size(&oldest);
            self.complete_after = oldest.id;
        }
    }

    /// The records after `id`, in order.
    pub fn after(&self, id: EntryId) -> impl Iterator<Item = &Record> {
        let first = self.records.partition_point(|record| record.id <= id);
        self.records.range(first..)
    }
}

fn size(record: &Record) -> usize {
    std::mem::size_of::<Record>() + record.data.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::Flags;

    fn record(millis: u64, rooms: &[&'static str], except: &[&'static str]) -> Record {
        let names = |names: &[&'static str]| names.iter().map(|&n| ByteString::from_static(n)).collect();
        Record {
            id: EntryId { millis, number: 0 },
            origin: Some(Origin { uid: "a".into(), seq: millis }),
            nsp: "/".into(),
            data: Payload::event("x", (millis,)).unwrap(),
            options: BroadcastOptions { rooms: names(rooms), except: names(except), flags: Flags::default() },
        }
    }

    fn missed(log: &Log, from: &str, rooms: &[&'static str]) -> Vec<u64> {
        let (offset, rooms): (Offset, Vec<Room>) =
            (from.parse().unwrap(), rooms.iter().map(|&r| ByteString::from_static(r)).collect());
        log.after(offset.id).filter(|r| r.missed_by("/", &rooms, &offset)).map(|r| r.id.millis).collect()
    }

    #[test]
    fn a_client_misses_what_its_rooms_were_sent() {
        let mut log = Log::starting_at(EntryId { millis: 1, number: 0 });
        log.push(record(2, &[], &[]));
        log.push(record(3, &["r"], &[]));
        log.push(record(4, &["other"], &[]));
        log.push(record(5, &["r", "other"], &["me"]));
        log.push(Record { nsp: "/admin".into(), ..record(6, &[], &[]) });
        let volatile = Flags { volatile: true, ..Flags::default() };
        log.push(Record {
            options: BroadcastOptions { flags: volatile, ..BroadcastOptions::default() },
            ..record(7, &[], &[])
        });
        log.push(record(8, &["me"], &[]));

        assert_eq!(missed(&log, "1-0", &["me", "r"]), [2, 3, 8]);
        assert_eq!(missed(&log, "1-0", &["you", "r"]), [2, 3, 5]);
        assert_eq!(missed(&log, "3-0", &["me", "r"]), [8]);
        assert_eq!(missed(&log, "9-0", &["me", "r"]), [0u64; 0]);
    }

    #[test]
    fn what_was_delivered_ahead_of_the_stream_is_not_missed() {
        let mut log = Log::starting_at(EntryId::START);
        for millis in 1..=5 {
            log.push(record(millis, &[], &[]));
        }
        assert_eq!(missed(&log, "1-0/a:3", &[]), [4, 5]);
        assert_eq!(missed(&log, "1-0/b:3", &[]), [2, 3, 4, 5]);
    }

    #[test]
    fn the_oldest_go_first_and_the_log_says_so() {
        let mut log = Log::starting_at(EntryId::START);
        for millis in 1..=MAX_RECORDS as u64 + 2 {
            log.push(record(millis, &[], &[]));
        }
        assert_eq!(log.complete_after(), EntryId { millis: 2, number: 0 });
        assert_eq!(log.after(log.complete_after()).count(), MAX_RECORDS);
    }

    #[test]
    fn what_a_server_wrote_twice_counts_once() {
        let mut log = Log::starting_at(EntryId::START);
        let mut new = |uid: &str, seq| log.is_new(&Origin { uid: uid.into(), seq });
        assert_eq!(
            [new("a", 1), new("a", 2), new("a", 1), new("a", 2), new("b", 1), new("a", 3)],
            [true, true, false, false, true, true]
        );
    }
}

//! Brings a client back to its session, on whatever server it arrives.
//!
//! The stream is the one order of events. This server's sockets have been handed it up to the log's position;
//! a client stands at its offset. What it missed is what lies between, read from Redis as far as the log does
//! not reach back, and from the log. While the last of it is collected the log is held, and the hold goes
//! with the result until the socket is in its rooms: the next event that the reader hands out is the first
//! that the client has not been given. Nothing between is lost, nothing comes twice.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::Hub;
use super::log::Record;
use super::offset::{Offset, Origin};
use super::reader::Fields;
use crate::adapter::redis::action::Action;
use crate::adapter::redis::client::{Entry, RedisError};
use crate::adapter::redis::entry_id::EntryId;
use crate::adapter::redis::envelope;
use crate::adapter::redis::session;
use crate::adapter::{Goodbye, Hold, RestoredSession, Room, Session};
use crate::packet::Payload;

/// How many entries are read at once: of the first page, whose entries may be large, and of any other.
const FIRST_PAGE: u64 = 4;
const PAGE: std::ops::RangeInclusive<u64> = 2..=1_000;
/// Bytes that are read at once, about.
const PAGE_BYTES: usize = 1 << 20;
/// How long a client is kept waiting for Redis to come back (a pod that is made anew takes so long), or for this server to read as far as the client has
/// been elsewhere. Then it starts afresh, and is told so.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long what a server has given to its sockets ahead of the stream may take to get there once Redis is back: a server
/// that has not written it by then has ended, and never will.
const AHEAD: Duration = Duration::from_secs(3);
/// Pause after a failure.
const RETRY: Duration = Duration::from_millis(100);

/// See [`Adapter::restore_session`](crate::adapter::Adapter::restore_session).
pub async fn restore(
    hub: &Arc<Hub>,
    nsp: &ByteString,
    pid: &str,
    offset: Option<&str>,
) -> Option<RestoredSession> {
    let attempts = async {
        loop {
            let attempt = try_restore(hub, nsp, pid, offset).await;
            // Who has moved the client away writes a session that Redis has lost again.
            let not_yet = match &attempt {
                Ok(None) => hub.has_just_lost_data().await.unwrap_or(true),
                _ => false,
            };
            match attempt {
                Ok(restored) if !not_yet => return restored,
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "a session cannot be read yet"),
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    match tokio::time::timeout(PATIENCE, attempts).await {
        Ok(restored) => restored,
        Err(_) => {
            hub.redis.observer().error("not_recovered");
            tracing::warn!("a client could not be brought back to its session in time: it starts afresh");
            None
        }
    }
}

async fn try_restore(
    hub: &Arc<Hub>,
    nsp: &ByteString,
    pid: &str,
    offset: Option<&str>,
) -> Result<Option<RestoredSession>, RedisError> {
    let Some(ttl) = hub.options.recovery else { return Ok(None) };
    // Node deletes the session here; it is kept: were this process to end before the client hears of it, the
    // client would come back again, with the same offset.
    let Some(value) = hub.redis.get_and_extend(&hub.session_key(pid), ttl).await? else { return Ok(None) };
    let Some(session) = read(&value) else { return Ok(None) };
    let Some(offset) = offset.or(session.offset.as_deref()).and_then(|text| text.parse::<Offset>().ok())
    else {
        return Ok(None);
    };
    let mut all_landed = landed(hub, &offset).await;
    let mut position = hub.position.subscribe();
    let caught_up = position.wait_for(|position| position.is_some_and(|position| position >= offset.id));
    if caught_up.await.is_err() {
        return Ok(None);
    }

    let mut missed: Vec<(EntryId, Payload)> = Vec::new();
    let mut bytes = 0;
    let mut at = offset.id;
    let mut count = FIRST_PAGE;
    let mut memory = None;
    let (log, ahead, more) = loop {
        let log = hub.log.clone().lock_owned().await;
        let rest_in_memory = at >= log.complete_after();
        if rest_in_memory || bytes > hub.options.max_replay_bytes {
            let ahead = AheadHold::new(hub);
            if ahead.is_some() || !all_landed {
                break (log, ahead, !rest_in_memory);
            }
            // Redis went away since.
            drop(log);
            all_landed = landed(hub, &offset).await;
            continue;
        }
        drop(log);
        if memory.is_none() {
            memory = Some(hub.replay_memory.take(hub.options.max_replay_bytes + PAGE_BYTES).await);
        }
        // What is not in memory is read in pages, without keeping the reader from its work. Each begins with
        // the last entry that is known: were it gone, those after it could be too.
        let page = hub.redis.range(&hub.options.stream, at, LAST, count).await?;
        let (Some(first), Some(last)) = (page.first().map(|e| e.id), page.last().map(|e| e.id)) else {
            return Ok(None);
        };
        if first != at || last == at {
            return Ok(None);
        }
        at = last;
        count = entries_of_next(&page);
        let new = page.into_iter().skip(1);
        for record in new.filter_map(|entry| missed_entry(entry, nsp, &session.rooms, &offset)) {
            // A copy: what is read shares the memory of its page.
            let payload = record.for_client_at(&offset);
            bytes += payload.len();
            missed.push((record.id, payload));
        }
    };
    // A page may reach further than what has been handed out here: the rest comes with the others' events.
    let handed_out = missed.into_iter().take_while(|(id, _)| *id <= log.position());
    let mut missed: Vec<_> = handed_out.map(|(_, payload)| payload).collect();
    if !more {
        let recent = log.after(at).filter(|record| record.missed_by(nsp, &session.rooms, &offset));
        missed.extend(recent.map(|record| record.for_client_at(&offset)));
    }
    let memory = memory.map_or_else(Hold::default, |memory| Hold::new(memory.keep(bytes)));
    hub.sessions.restored(&session);
    Ok(Some(RestoredSession { session, missed, more, memory, hold: Hold::new((log, ahead)) }))
}

/// While it lasts, the sockets here get nothing ahead of the stream: who comes in between would not get it.
struct AheadHold(Arc<Hub>);

impl AheadHold {
    /// None while they have got what has not come back.
    fn new(hub: &Arc<Hub>) -> Option<Self> {
        hub.outbox.lock().hold().then(|| Self(Arc::clone(hub)))
    }
}

impl Drop for AheadHold {
    fn drop(&mut self) {
        self.0.outbox.lock().release();
        self.0.serve_ahead();
    }
}

/// Memory for events that are read from Redis for clients that come back: when a server has ended, all of its clients come
/// at once, and each may have missed much.
pub(super) struct ReplayMemory {
    /// A permit is a [`UNIT`].
    free: Arc<Semaphore>,
    units: u32,
}

/// Bytes.
const UNIT: usize = 1 << 10;

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1)
}

impl ReplayMemory {
    pub fn new(bytes: usize) -> Self {
        let units = units(bytes);
        Self { free: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// Waits until so much of it is free, or all of it where that is less.
    async fn take(&self, bytes: usize) -> TakenMemory {
        let wanted = units(bytes).min(self.units);
        // It is never closed.
        TakenMemory(Arc::clone(&self.free).acquire_many_owned(wanted).await.ok())
    }
}

struct TakenMemory(Option<OwnedSemaphorePermit>);

impl TakenMemory {
    /// Gives back what is not needed.
    fn keep(mut self, bytes: usize) -> Self {
        if let Some(taken) = &mut self.0 {
            drop(taken.split(taken.num_permits().saturating_sub(units(bytes) as usize)));
        }
        self
    }
}

/// Waits until this server has read from the stream what was given to sockets ahead of it: what the client got
/// elsewhere in this way (it would get it again when it comes), and what the sockets here got before the client came
/// (they do not get it again when it comes, and it would not either). Gives up in the end, and says so: better late than twice
/// or never.
async fn landed(hub: &Hub, offset: &Offset) -> bool {
    let mut back = Instant::now();
    while back.elapsed() < AHEAD {
        let theirs = match &offset.ahead {
            Some(origin) => hub.log.lock().await.has(origin),
            None => true,
        };
        if theirs && hub.outbox.lock().ahead().is_none() {
            return true;
        }
        tokio::time::sleep(RETRY).await;
        if !hub.is_whole() {
            back = Instant::now();
        }
    }
    false
}

/// How many entries to read after this page, were they as large as those.
fn entries_of_next(page: &[Entry]) -> u64 {
    let bytes: usize =
        page.iter().flat_map(|entry| &entry.fields).map(|(key, value)| key.len() + value.len()).sum();
    let each = bytes / page.len().max(1);
    ((PAGE_BYTES / each.max(1)) as u64).clamp(*PAGE.start(), *PAGE.end())
}

/// After every entry.
const LAST: EntryId = EntryId { millis: u64::MAX, number: u64::MAX };

fn read(value: &[u8]) -> Option<Session> {
    let session::Session { sid, pid, rooms, data, attachments: _, since, goodbye } =
        session::Session::decode(value).ok()?;
    Some(Session {
        sid: sid.into(),
        pid: pid.into(),
        rooms: rooms.into_iter().map(ByteString::from).collect(),
        data: serde_json::from_str(&data).ok()?,
        offset: since.map(ByteString::from),
        goodbye: goodbye.map(|(from, at)| Goodbye { from: from.into(), at }),
    })
}

fn missed_entry(entry: Entry, nsp: &ByteString, rooms: &[Room], offset: &Offset) -> Option<Record> {
    let Fields { uid, nsp: entry_nsp, kind, data, seq } = Fields::of(&entry)?;
    if entry_nsp != *nsp || kind != "3" {
        return None;
    }
    let envelope = envelope::from_stream(&uid, &entry_nsp, &kind, data.as_deref()).ok()?;
    let Action::Broadcast { data, options } =
        Action::from_message(envelope.message().ok()?, &envelope.attachments)?
    else {
        return None;
    };
    let origin = seq.map(|seq| Origin { uid, seq });
    let record = Record { id: entry.id, origin, nsp: entry_nsp, data, options };
    record.missed_by(nsp, rooms, offset).then_some(record)
}

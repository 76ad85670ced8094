//! Brings a client back to its session, on whatever server it arrives.
//!
//! The stream is the one order of events. This server's sockets have been handed it up to the log's position;
//! a client stands at its offset. What it missed is what lies between, read from Redis as far as the log does
//! not reach back, and from the log. While the last of it is collected the log is held, and the hold goes
//! with the result until the socket is in its rooms: the next event that the reader hands out is the first
//! that the client has not been given. Nothing between is lost, nothing comes twice.

use std::time::Duration;

use bytestring::ByteString;

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

/// Entries that are read at once.
const PAGE: u64 = 1_000;
/// How long a client is kept waiting for Redis to come back (a pod that is made anew takes so long), or for this server to read as far as the client has
/// been elsewhere. Then it starts afresh, and is told so.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long what a server has given to its sockets ahead of the stream may take to get there. Redis is back by then:
/// a server that has not written it has ended, and never will.
const AHEAD: Duration = Duration::from_secs(3);
/// Pause after a failure.
const RETRY: Duration = Duration::from_millis(100);

/// See [`Adapter::restore_session`](crate::adapter::Adapter::restore_session).
pub async fn restore(
    hub: &Hub,
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
    hub: &Hub,
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
    // Better late than twice or never.
    let _ = tokio::time::timeout(AHEAD, landed(hub, &offset)).await;
    let mut position = hub.position.subscribe();
    let caught_up = position.wait_for(|position| position.is_some_and(|position| position >= offset.id));
    if caught_up.await.is_err() {
        return Ok(None);
    }

    let mut missed: Vec<Record> = Vec::new();
    let mut at = offset.id;
    let log = loop {
        let log = hub.log.clone().lock_owned().await;
        if at >= log.complete_after() {
            break log;
        }
        drop(log);
        // What is not in memory is read in pages, without keeping the reader from its work. Each begins with
        // the last entry that is known: were it gone, those after it could be too.
        let page = hub.redis.range(&hub.options.stream, at, LAST, PAGE).await?;
        let (Some(first), Some(last)) = (page.first().map(|e| e.id), page.last().map(|e| e.id)) else {
            return Ok(None);
        };
        if first != at || last == at {
            return Ok(None);
        }
        at = last;
        let new = page.into_iter().skip(1);
        missed.extend(new.filter_map(|entry| missed_entry(entry, nsp, &session.rooms, &offset)));
    };
    // A page may reach further than what has been handed out here: the rest comes with the others' events.
    let handed_out = missed.partition_point(|record| record.id <= log.position());
    missed.truncate(handed_out);
    let recent = log.after(at).filter(|record| record.missed_by(nsp, &session.rooms, &offset));
    let missed = missed.iter().chain(recent).map(Record::with_offset).collect();
    hub.sessions.restored(&session);
    Ok(Some(RestoredSession { session, missed, hold: Hold::new(log) }))
}

/// Waits until this server has read from the stream what was given to sockets ahead of it: what the client got
/// elsewhere in this way (it would get it again when it comes), and what the sockets here got before the client came
/// (they do not get it again when it comes, and it would not either).
async fn landed(hub: &Hub, offset: &Offset) {
    loop {
        let theirs = match &offset.ahead {
            Some(origin) => hub.log.lock().await.has(origin),
            None => true,
        };
        if theirs && hub.outbox.lock().ahead().is_none() {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
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

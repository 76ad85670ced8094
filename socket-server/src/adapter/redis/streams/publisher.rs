//! Writes what is in the outbox to the stream: in order, many entries in a round trip, each once.
//!
//! Others pass over a publication that is numbered below one they have seen. So nothing is written to a Redis that may have
//! lost what it was told before it has been looked at: a write stays on the connection that it was made for ([`Writer`]).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::outbox::Item;
use super::{GATHER, Hub, Publication, WRITING};
use crate::adapter::redis::client::{Field, Redis, RedisError, Writer};
use crate::adapter::redis::entry_id::EntryId;
use crate::adapter::redis::envelope;

/// Entries that are sent in one round trip, at most.
const BATCH: usize = 256;
/// Pause after a failure; it doubles up to the second.
const RETRY: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
/// The field in which this server counts its publications. Node's readers pass over it.
pub const SEQ: &str = "seq";

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(RETRY[1])
}

/// Connects, however long it takes.
pub async fn connect(hub: &Hub) -> Writer {
    let mut writer = hub.redis.writer();
    let mut pause = RETRY[0];
    while let Err(error) = writer.connect().await {
        tracing::debug!(%error, "the stream cannot be written yet");
        tokio::time::sleep(pause).await;
        pause = longer(pause);
    }
    writer
}

/// Publishes for ever.
pub async fn run(hub: Arc<Hub>, mut writer: Writer) {
    // What is written before the reader knows where to begin would not come back.
    let _ = hub.position.subscribe().wait_for(Option::is_some).await;
    hub.works(WRITING, true);
    let mut known = hub.position.borrow().unwrap_or(EntryId::START);
    loop {
        if hub.interrupted.lock().is_some() {
            known = reached(&hub, known);
            if resume(&hub, &mut writer, &mut known).await.is_err() {
                away(&hub, &mut writer, &mut known).await;
            }
        }
        let batch = hub.outbox.lock().unsent(BATCH);
        if batch.is_empty() {
            hub.published.notified().await;
            continue;
        }
        let sent = match writer.connection() {
            Ok(redis) => send(&hub, redis, &batch, &mut known).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "publishing failed");
            known = reached(&hub, known);
            away(&hub, &mut writer, &mut known).await;
        } else if batch.len() < BATCH {
            tokio::time::sleep(GATHER).await;
        }
    }
}

/// Sends a batch and takes note of what the stream has for certain.
async fn send(
    hub: &Hub,
    redis: &Redis,
    batch: &[Arc<Item<Publication>>],
    known: &mut EntryId,
) -> Result<(), RedisError> {
    let entries = batch.iter().map(|item| fields(hub, item)).collect();
    let results = redis.append(&hub.options.stream, hub.options.max_len, entries).await;
    let landed = results.iter().rposition(Result::is_ok);
    for (at, (item, result)) in batch.iter().zip(results).enumerate() {
        match result {
            Ok(id) => *known = id,
            // Redis has refused this one and taken a later one: to send it again would change the order.
            Err(error) if Some(at) < landed => {
                hub.redis.observer().error("given_up");
                tracing::error!(%error, "a broadcast is refused: other servers will not get it");
            }
            Err(error) => return Err(error),
        }
        hub.outbox.lock().landed_up_to(item.seq);
    }
    Ok(())
}

fn fields(hub: &Hub, item: &Item<Publication>) -> Vec<Field> {
    let Publication { nsp, action, done: _ } = &item.value;
    let (message, attachments) = action.message();
    let text = |text: String| Bytes::from(text.into_bytes());
    let mut fields = vec![
        ("uid", hub.uid.as_bytes().clone()),
        ("nsp", nsp.as_bytes().clone()),
        ("type", text(message.kind().to_string())),
    ];
    match envelope::stream_data(&message, attachments) {
        Ok(data) => fields.extend(data.map(|data| ("data", text(data)))),
        // Other servers pass over an entry without data; this one's sockets get the event all the same.
        Err(error) => {
            hub.redis.observer().error("encode");
            tracing::warn!(%error, "a broadcast to the other servers cannot be written");
        }
    }
    fields.push((SEQ, text(item.seq.to_string())));
    fields
}

/// Serves own sockets at once until Redis takes entries again.
async fn away(hub: &Hub, writer: &mut Writer, known: &mut EntryId) {
    hub.works(WRITING, false);
    let mut pause = RETRY[0];
    loop {
        hub.outbox.lock().away();
        hub.serve_ahead();
        tokio::time::sleep(pause).await;
        pause = longer(pause);
        if resume(hub, writer, known).await.is_ok() {
            hub.outbox.lock().back();
            hub.works(WRITING, true);
            return;
        }
    }
}

/// The last entry that the stream is known to have had, before something happened to it: `known`, the last that this server has
/// written, may have been trimmed since for what others have.
fn reached(hub: &Hub, known: EntryId) -> EntryId {
    let read = hub.interrupted.lock().take().or(*hub.position.borrow());
    read.map_or(known, |read| read.max(known))
}

/// Looks what the stream has, and goes on from there: with what a broken connection may have carried to it and what Redis
/// may have lost, nothing is written twice and nothing left out. This comes before anything new is written.
async fn resume(hub: &Hub, writer: &mut Writer, known: &mut EntryId) -> Result<(), RedisError> {
    let redis = writer.connect().await?;
    let kept = redis.range(&hub.options.stream, *known, *known, 1).await?;
    let landed = last_landed(hub, redis, *known).await?;
    let batch = {
        let mut outbox = hub.outbox.lock();
        if kept.is_empty() {
            outbox.lost(landed.unwrap_or(0));
        }
        landed.inspect(|&seq| outbox.landed_up_to(seq));
        outbox.unsent(BATCH)
    };
    match batch.is_empty() {
        true => Ok(()),
        false => send(hub, redis, &batch, known).await,
    }
}

/// The last of this server's publications that the stream has after `known`.
async fn last_landed(hub: &Hub, redis: &Redis, known: EntryId) -> Result<Option<u64>, RedisError> {
    let (mut count, max) = (100, hub.options.max_len * 2);
    loop {
        let entries = redis.latest(&hub.options.stream, known.next(), count).await?;
        let complete = (entries.len() as u64) < count || count >= max;
        let own = entries.iter().find_map(|entry| {
            let field = |name: &str| entry.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value);
            let seq = || std::str::from_utf8(field(SEQ)?).ok()?.parse().ok();
            if field("uid")? == hub.uid.as_bytes() { seq() } else { None }
        });
        if own.is_some() || complete {
            return Ok(own);
        }
        count = (count * 10).min(max);
    }
}

//! Reads the stream and hands it to this server's sockets, in order.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::log::{Log, Record};
use super::offset::Origin;
use super::outbox::Item;
use super::publisher::SEQ;
use super::{GATHER, Hub, Namespace, Publication, READING};
use crate::adapter::redis::action::Action;
use crate::adapter::redis::client::{Entry, Reader, RedisError};
use crate::adapter::redis::entry_id::EntryId;
use crate::adapter::redis::envelope::{self, Envelope};
use crate::adapter::redis::message::MessageError;

/// Pause after a failure.
const RETRY: Duration = Duration::from_millis(100);

/// Reads for ever.
pub async fn run(hub: Arc<Hub>, mut reader: Reader) {
    while let Err(error) = begin(&hub, &mut reader).await {
        tracing::debug!(%error, "the stream cannot be reached yet");
        tokio::time::sleep(RETRY).await;
    }
    hub.works(READING, true);
    let mut broken = false;
    loop {
        let position = hub.log.lock().await.position();
        let read = async {
            if broken {
                resume(&hub, position).await?;
            }
            reader.after(position, hub.options.read_count, !broken).await
        };
        match read.await {
            // It broke, and was made again, between two reads.
            Ok(_) if reader.has_reconnected() => {
                broken = true;
                hub.works(READING, false);
            }
            Ok(entries) => {
                if std::mem::take(&mut broken) {
                    // What the stream had taken it may have lost: who writes looks for it, also with nothing new to write.
                    hub.interrupted.lock().get_or_insert(position);
                    hub.published.notify_one();
                }
                hub.works(READING, true);
                let count = entries.len() as u64;
                hand_out(&hub, entries).await;
                if (1..hub.options.read_count).contains(&count) {
                    tokio::time::sleep(GATHER).await;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "reading the stream failed");
                broken = true;
                hub.works(READING, false);
                hub.redis.observer().error(error.kind());
                hub.outbox.lock().unread();
                hub.serve_ahead();
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Finds the end of the stream: what is published from now on is read.
async fn begin(hub: &Hub, reader: &mut Reader) -> Result<(), RedisError> {
    let last = hub.redis.latest(&hub.options.stream, EntryId::START, 1).await?.first().map(|entry| entry.id);
    let start = match last {
        Some(id) => id,
        None => mark(hub).await?,
    };
    reader.after(start, 1, false).await?;
    // The first connection is none that was made anew.
    reader.has_reconnected();
    *hub.log.lock().await = Log::starting_at(start);
    hub.position.send_replace(Some(start));
    Ok(())
}

/// Writes an entry that says nothing, so that there is one to stand at: an empty stream and one that has lost
/// entries look the same.
async fn mark(hub: &Hub) -> Result<EntryId, RedisError> {
    let heartbeat = vec![("uid", hub.uid.as_bytes().clone()), ("type", Bytes::from_static(b"2"))];
    let mut ids = hub.redis.append(&hub.options.stream, hub.options.max_len, vec![heartbeat]).await;
    ids.pop().unwrap_or(Err(RedisError::Answer("XADD")))
}

/// After an interruption: whether the stream still has the place where reading stopped.
async fn resume(hub: &Arc<Hub>, position: EntryId) -> Result<(), RedisError> {
    if hub.redis.range(&hub.options.stream, position, position, 1).await?.is_empty() {
        tracing::error!(%position, "the stream has lost its entries while Redis was away: broadcasts of other servers may be missing");
        hub.redis.observer().error("gap");
        mark(hub).await?;
        hub.save_sessions_again();
    }
    Ok(())
}

async fn hand_out(hub: &Hub, entries: Vec<Entry>) {
    let mut log = hub.log.lock().await;
    for entry in entries {
        let id = entry.id;
        let own = hand_out_one(hub, &mut log, entry).unwrap_or_else(|error| {
            hub.redis.observer().error("malformed");
            tracing::warn!(%id, %error, "an entry of the stream is not understood");
            Vec::new()
        });
        // Not before: a client that comes while an event is being handed out may not have got it.
        log.advance(id);
        hub.position.send_replace(Some(id));
        own.iter().for_each(|item| item.value.is_done());
    }
}

/// Returns the own publications that were handed out with it.
fn hand_out_one(hub: &Hub, log: &mut Log, entry: Entry) -> Result<Vec<Arc<Item<Publication>>>, MessageError> {
    let Some(Fields { uid, nsp, kind, data, seq }) = Fields::of(&entry) else { return Ok(Vec::new()) };
    let origin = seq.map(|seq| Origin { uid: uid.clone(), seq });
    if let Some(origin) = origin.as_ref().filter(|origin| !log.is_new(origin)) {
        // Written again, for those who have not had it: here nobody waits for it any more.
        if origin.uid == hub.uid {
            hub.outbox.lock().came_back(origin.seq);
        }
        return Ok(Vec::new());
    }
    if let Some(Origin { uid: _, seq }) = origin.as_ref().filter(|origin| origin.uid == hub.uid) {
        // Our own: what was made of it is still known.
        let due = hub.outbox.lock().came_back(*seq);
        for item in &due {
            keep(log, entry.id, origin.clone(), &item.value.nsp, &item.value.action);
            hub.serve(&item.value, &hub.offset(entry.id).to_string());
        }
        if due.iter().any(|item| item.seq == *seq) {
            return Ok(due);
        }
    }
    let Some(Namespace { local, .. }) = hub.namespace(&nsp) else { return Ok(Vec::new()) };
    let envelope = envelope::from_stream(&uid, &nsp, &kind, data.as_deref())?;
    let Envelope { attachments, .. } = &envelope;
    let Some(action) = Action::from_message(envelope.message()?, attachments) else { return Ok(Vec::new()) };
    keep(log, entry.id, origin, &nsp, &action);
    if uid != hub.uid {
        let offset = hub.options.recovery.map(|_| hub.offset(entry.id).to_string());
        action.apply(&*local, offset.as_deref());
    }
    Ok(Vec::new())
}

/// Remembers an event for those who come back.
fn keep(log: &mut Log, id: EntryId, origin: Option<Origin>, nsp: &ByteString, action: &Action) {
    match action {
        Action::Broadcast { data, options } if !options.flags.volatile => {
            let options = options.clone();
            log.push(Record { id, origin, nsp: nsp.clone(), data: data.clone(), options });
        }
        _ => {}
    }
}

/// The fields of an entry; shared with what Redis sent, not copied.
pub struct Fields {
    pub uid: ByteString,
    pub nsp: ByteString,
    pub kind: ByteString,
    pub data: Option<ByteString>,
    pub seq: Option<u64>,
}

impl Fields {
    /// None where it is no message: Node passes over an entry without namespace too.
    pub fn of(entry: &Entry) -> Option<Self> {
        let field = |name: &str| {
            let (_, value) = entry.fields.iter().find(|(field, _)| field == name)?;
            ByteString::try_from(value.clone()).ok()
        };
        let seq = field(SEQ).and_then(|seq| seq.parse().ok());
        Some(Self { uid: field("uid")?, nsp: field("nsp")?, kind: field("type")?, data: field("data"), seq })
    }
}

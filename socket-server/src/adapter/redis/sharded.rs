//! The sharded pub/sub adapter (Redis 7), compatible with `createShardedAdapter` of `@socket.io/redis-adapter`
//! in its `dynamic` mode: each public room has a channel of its own, and a server subscribes to those of the
//! rooms that have a member here. In a cluster a channel lives on one shard: the load is spread over all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use parking_lot::RwLock;
use tokio::sync::mpsc;

use super::action::Action;
use super::channels::Channels;
use super::client::{Redis, RedisError, RedisObserver};
use super::cluster::{Cluster, Wire, requests_of_cluster};
use super::envelope;
use super::message::Message;
use super::requests::random_id;
use super::sockets::Sockets;
use super::subscriptions::{Burst, Published};
use crate::adapter::{
    AckSink, Adapter, AdapterError, AdapterFactory, BoxFuture, BroadcastOptions, Done, Room, SocketInfo,
};
use crate::packet::Payload;

/// A server's part in the fleet: one for all of its namespaces.
#[derive(Clone)]
pub struct Sharded(Arc<Hub>);

impl Sharded {
    /// Starts in the background, until the runtime ends. Redis need not be there. `prefix` is `channelPrefix` in
    /// Node, `socket.io` by default.
    pub fn start(url: &str, prefix: String, observer: Arc<dyn RedisObserver>) -> Result<Self, RedisError> {
        let redis = Redis::connect(url, observer)?;
        let (channels, messages) = Channels::start(&redis, prefix, true, Burst::Broadcasts)?;
        let hub = Arc::new(Hub { uid: random_id(), channels, namespaces: RwLock::default() });
        tokio::spawn(receive(hub.clone(), messages));
        Ok(Self(hub))
    }

    /// Makes the adapters of the namespaces.
    pub fn factory(&self) -> AdapterFactory {
        let hub = self.0.clone();
        Arc::new(move |local| Arc::new(ShardedAdapter::new(hub.clone(), local)))
    }
}

/// What the adapters of the namespaces share.
struct Hub {
    uid: String,
    channels: Channels,
    namespaces: RwLock<HashMap<ByteString, Namespace>>,
}

#[derive(Clone)]
struct Namespace {
    local: Arc<dyn Sockets>,
    cluster: Arc<Cluster>,
}

async fn receive(hub: Arc<Hub>, mut messages: mpsc::Receiver<Published>) {
    while let Some(Published { channel, payload }) = messages.recv().await {
        let received = envelope::from_pubsub(&payload).and_then(|envelope| {
            if envelope.uid == hub.uid {
                return Ok(());
            }
            let namespace = hub.namespaces.read().get(&*envelope.nsp).cloned();
            let Some(Namespace { local, cluster }) = namespace else { return Ok(()) };
            match Action::from_message(envelope.message()?, &envelope.attachments) {
                Some(action) => action.apply(&*local, None),
                None => cluster.receive(&envelope, envelope.message()?),
            }
            Ok(())
        });
        if let Err(error) = received {
            hub.channels.not_understood(&channel, &error);
        }
    }
}

impl Hub {
    fn send(&self, channel: String, nsp: &str, message: &Message<'_>, attachments: &[Bytes]) {
        self.channels.send(channel, envelope::sharded(&self.uid, nsp, message, attachments));
    }
}

impl Wire for Hub {
    fn publish(&self, nsp: &str, message: &Message<'_>, attachments: &[Bytes]) {
        self.send(self.channels.of(nsp), nsp, message, attachments);
    }

    fn respond(&self, nsp: &str, to: &str, message: &Message<'_>, attachments: &[Bytes]) {
        self.send(self.channels.within(nsp, to), nsp, message, attachments);
    }

    fn others<'a>(&'a self, nsp: &'a str) -> BoxFuture<'a, Result<usize, AdapterError>> {
        Box::pin(async move { self.channels.others(&self.channels.of(nsp)).await })
    }
}

/// A room that is a socket's own has no channel: there is one for every socket. Node tells it by its length.
fn is_public(room: &str) -> bool {
    room.encode_utf16().count() != 20
}

/// The adapter of one namespace.
struct ShardedAdapter {
    hub: Arc<Hub>,
    nsp: ByteString,
    namespace: Namespace,
}

impl ShardedAdapter {
    fn new(hub: Arc<Hub>, local: Arc<dyn Sockets>) -> Self {
        let nsp = local.namespace().clone();
        let cluster = Arc::new(Cluster::new(local.clone(), hub.clone()));
        let namespace = Namespace { local, cluster };
        hub.namespaces.write().insert(nsp.clone(), namespace.clone());
        hub.channels.subscribe(hub.channels.of(&nsp));
        hub.channels.subscribe(hub.channels.within(&nsp, &hub.uid));
        Self { hub, nsp, namespace }
    }

    /// Tells the others, and does it here.
    fn act(&self, action: &Action) {
        let (message, attachments) = action.message();
        let (channel, local) = match action {
            Action::Broadcast { options, .. } => match &options.rooms[..] {
                [room] if is_public(room) => (self.hub.channels.within(&self.nsp, room), options.flags.local),
                _ => (self.hub.channels.of(&self.nsp), options.flags.local),
            },
            Action::Join { options, .. }
            | Action::Leave { options, .. }
            | Action::Disconnect { options, .. } => (self.hub.channels.of(&self.nsp), options.flags.local),
        };
        if !local {
            self.hub.send(channel, &self.nsp, &message, attachments);
        }
        action.apply(&*self.namespace.local, None);
    }
}

impl Adapter for ShardedAdapter {
    fn broadcast(&self, data: Payload, options: BroadcastOptions) -> Done {
        self.act(&Action::Broadcast { data, options });
        Done::NOW
    }

    fn add_sockets(&self, options: BroadcastOptions, rooms: Vec<Room>) {
        self.act(&Action::Join { options, rooms });
    }

    fn del_sockets(&self, options: BroadcastOptions, rooms: Vec<Room>) {
        self.act(&Action::Leave { options, rooms });
    }

    fn disconnect_sockets(&self, options: BroadcastOptions, close: bool) {
        self.act(&Action::Disconnect { options, close });
    }

    requests_of_cluster!(namespace.cluster);

    fn room_created(&self, room: &Room) -> Done {
        match is_public(room) {
            true => self.hub.channels.subscribe(self.hub.channels.within(&self.nsp, room)),
            false => Done::NOW,
        }
    }

    fn room_deleted(&self, room: &Room) {
        if is_public(room) {
            self.hub.channels.unsubscribe(self.hub.channels.within(&self.nsp, room));
        }
    }

    fn close(&self) {
        self.hub.namespaces.write().remove(&self.nsp);
        self.hub.channels.unsubscribe(self.hub.channels.of(&self.nsp));
        self.hub.channels.unsubscribe(self.hub.channels.within(&self.nsp, &self.hub.uid));
    }
}

#[cfg(test)]
mod tests;

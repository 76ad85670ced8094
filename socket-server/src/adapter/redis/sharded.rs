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
use super::client::{Redis, RedisError, RedisObserver};
use super::cluster::{Cluster, Wire};
use super::envelope;
use super::message::Message;
use super::outgoing::Outgoing;
use super::requests::random_id;
use super::sockets::Sockets;
use super::subscriptions::{Burst, Published, Subscriptions};
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
        let (subscriptions, messages) = Subscriptions::start(&redis, true, Burst::Broadcasts)?;
        let outgoing = Outgoing::start(&redis, true);
        let uid = random_id();
        let hub =
            Arc::new(Hub { uid, prefix, redis, subscriptions, outgoing, namespaces: RwLock::default() });
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
    prefix: String,
    redis: Redis,
    subscriptions: Subscriptions,
    outgoing: Outgoing,
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
            hub.redis.observer().error("malformed");
            tracing::warn!(%channel, %error, "a message of another server is not understood");
        }
    }
}

impl Hub {
    fn channel(&self, nsp: &str) -> String {
        format!("{}#{nsp}#", self.prefix)
    }

    /// A room's, and with its uid a server's own.
    fn subchannel(&self, nsp: &str, name: &str) -> String {
        format!("{}#{nsp}#{name}#", self.prefix)
    }

    fn send(&self, channel: String, nsp: &str, message: &Message<'_>, attachments: &[Bytes]) {
        match envelope::sharded(&self.uid, nsp, message, attachments) {
            Ok(payload) => self.outgoing.send(channel, payload),
            Err(error) => {
                self.redis.observer().error("encode");
                tracing::warn!(%error, "a message to the other servers cannot be written");
            }
        }
    }
}

impl Wire for Hub {
    fn publish(&self, nsp: &str, message: &Message<'_>, attachments: &[Bytes]) {
        self.send(self.channel(nsp), nsp, message, attachments);
    }

    fn respond(&self, nsp: &str, to: &str, message: &Message<'_>, attachments: &[Bytes]) {
        self.send(self.subchannel(nsp, to), nsp, message, attachments);
    }

    fn others<'a>(&'a self, nsp: &'a str) -> BoxFuture<'a, Result<usize, AdapterError>> {
        Box::pin(async move {
            let count = self.redis.subscribers(&self.channel(nsp), true).await;
            Ok(count.map_err(|e| AdapterError::Disconnected(e.to_string()))?.saturating_sub(1))
        })
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
        hub.subscriptions.subscribe(hub.channel(&nsp));
        hub.subscriptions.subscribe(hub.subchannel(&nsp, &hub.uid));
        Self { hub, nsp, namespace }
    }

    /// Tells the others, and does it here.
    fn act(&self, action: &Action) {
        let (message, attachments) = action.message();
        let (channel, local) = match action {
            Action::Broadcast { options, .. } => match &options.rooms[..] {
                [room] if is_public(room) => (self.hub.subchannel(&self.nsp, room), options.flags.local),
                _ => (self.hub.channel(&self.nsp), options.flags.local),
            },
            Action::Join { options, .. }
            | Action::Leave { options, .. }
            | Action::Disconnect { options, .. } => (self.hub.channel(&self.nsp), options.flags.local),
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

    fn broadcast_with_ack(&self, data: Payload, options: BroadcastOptions, sink: Arc<dyn AckSink>) {
        self.namespace.cluster.broadcast_with_ack(data, options, sink);
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

    fn fetch_sockets(
        &self,
        options: BroadcastOptions,
    ) -> BoxFuture<'_, Result<Vec<SocketInfo>, AdapterError>> {
        Box::pin(self.namespace.cluster.fetch_sockets(options))
    }

    fn server_side_emit(&self, data: Payload) {
        self.namespace.cluster.server_side_emit(&data);
    }

    fn server_side_emit_with_ack(
        &self,
        data: Payload,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Vec<Payload>, AdapterError>> {
        Box::pin(self.namespace.cluster.server_side_emit_with_ack(data, timeout))
    }

    fn server_count(&self) -> BoxFuture<'_, Result<usize, AdapterError>> {
        Box::pin(self.namespace.cluster.server_count())
    }

    fn room_created(&self, room: &Room) -> Done {
        match is_public(room) {
            true => self.hub.subscriptions.subscribe(self.hub.subchannel(&self.nsp, room)),
            false => Done::NOW,
        }
    }

    fn room_deleted(&self, room: &Room) {
        if is_public(room) {
            self.hub.subscriptions.unsubscribe(self.hub.subchannel(&self.nsp, room));
        }
    }

    fn close(&self) {
        self.hub.namespaces.write().remove(&self.nsp);
        self.hub.subscriptions.unsubscribe(self.hub.channel(&self.nsp));
        self.hub.subscriptions.unsubscribe(self.hub.subchannel(&self.nsp, &self.hub.uid));
    }
}

#[cfg(test)]
mod tests;

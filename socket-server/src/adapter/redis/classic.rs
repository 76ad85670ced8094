//! The classic pub/sub adapter, compatible with `@socket.io/redis-adapter` and `@socket.io/redis-emitter`.
//!
//! Node subscribes to all channels of a namespace by a pattern and throws away what concerns none of its rooms;
//! publishers use the exact channel of the room, so this adapter subscribes to those of the rooms that have a
//! member here, and to the namespace's own.

mod codec;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use parking_lot::RwLock;
use tokio::sync::mpsc;

use self::codec::{Answered, Asked, Broadcast, Request, Response};
use super::action::{Action, from_wire, to_wire};
use super::channels::Channels;
use super::client::{Redis, RedisError, RedisObserver};
use super::cluster::{DEFAULT_TIMEOUT, Socket, as_arguments, first_argument};
use super::message::{MessageError, json};
use super::requests::{Requests, random_id, wait_for_all};
use super::sockets::Sockets;
use super::subscriptions::{Burst, Published};
use crate::adapter::{
    AckSink, Adapter, AdapterError, AdapterFactory, BoxFuture, BroadcastOptions, Done, Room, ServerSideAck,
    SocketInfo,
};
use crate::packet::Payload;

/// How long acknowledgements are passed on where the caller does not say.
const DEFAULT_ACK_TIMEOUT: Duration = Duration::from_secs(60);

/// A server's part in the fleet: one for all of its namespaces.
#[derive(Clone)]
pub struct Classic(Arc<Hub>);

impl Classic {
    /// Starts in the background, until the runtime ends. Redis need not be there. `prefix` is `key` in Node,
    /// `socket.io` by default.
    pub fn start(url: &str, prefix: String, observer: Arc<dyn RedisObserver>) -> Result<Self, RedisError> {
        let redis = Redis::connect(url, observer)?;
        let (channels, messages) = Channels::start(&redis, prefix, false, Burst::Broadcasts)?;
        let uid = random_id()[..6].to_owned();
        let hub = Arc::new(Hub { uid, channels, namespaces: RwLock::default() });
        tokio::spawn(receive(hub.clone(), messages));
        Ok(Self(hub))
    }

    /// Makes the adapters of the namespaces.
    pub fn factory(&self) -> AdapterFactory {
        let hub = self.0.clone();
        Arc::new(move |local| ClassicAdapter::new(hub.clone(), local))
    }
}

/// What the adapters of the namespaces share.
struct Hub {
    uid: String,
    channels: Channels,
    namespaces: RwLock<HashMap<ByteString, Arc<ClassicAdapter>>>,
}

/// Where a message came in.
#[derive(Debug, PartialEq)]
enum Channel<'a> {
    /// The namespace's, or that of the room.
    Broadcast(&'a str, Option<&'a str>),
    Request(&'a str),
    Response(&'a str),
}

impl<'a> Channel<'a> {
    /// Takes a channel's name apart. A `#` may be part of a room's name, but not of a namespace's.
    fn parse(prefix: &str, channel: &'a str) -> Option<Self> {
        let rest = channel.strip_prefix(prefix)?;
        let split =
            |text: &'a str| text.strip_suffix('#').map(|text| text.split_once('#').unwrap_or((text, "")));
        Some(match rest.split_once('#')? {
            ("", rest) => match rest.split_once('#')? {
                (nsp, "") => Self::Broadcast(nsp, None),
                (nsp, room) => Self::Broadcast(nsp, Some(room.strip_suffix('#')?)),
            },
            ("-request", rest) => Self::Request(split(rest)?.0),
            ("-response", rest) => Self::Response(split(rest)?.0),
            _ => return None,
        })
    }
}

async fn receive(hub: Arc<Hub>, mut messages: mpsc::Receiver<Published>) {
    while let Some(Published { channel, payload }) = messages.recv().await {
        let received = match Channel::parse(hub.channels.prefix(), &channel) {
            Some(Channel::Broadcast(nsp, room)) => {
                hub.on(nsp, |adapter| adapter.on_broadcast(room, &payload))
            }
            Some(Channel::Request(nsp)) => hub.on(nsp, |adapter| adapter.on_request(&payload)),
            Some(Channel::Response(nsp)) => hub.on(nsp, |adapter| adapter.on_response(&payload)),
            None => Ok(()),
        };
        if let Err(error) = received {
            hub.channels.not_understood(&channel, &error);
        }
    }
}

impl Hub {
    fn on(
        &self,
        nsp: &str,
        handle: impl FnOnce(&Arc<ClassicAdapter>) -> Result<(), MessageError>,
    ) -> Result<(), MessageError> {
        let adapter = self.namespaces.read().get(nsp).cloned();
        adapter.as_ref().map_or(Ok(()), handle)
    }
}

/// The adapter of one namespace.
struct ClassicAdapter {
    hub: Arc<Hub>,
    nsp: ByteString,
    local: Arc<dyn Sockets>,
    requests: Arc<Requests>,
}

impl ClassicAdapter {
    fn new(hub: Arc<Hub>, local: Arc<dyn Sockets>) -> Arc<Self> {
        let nsp = local.namespace().clone();
        let adapter = Arc::new(Self { hub: hub.clone(), nsp: nsp.clone(), local, requests: Arc::default() });
        hub.namespaces.write().insert(nsp, adapter.clone());
        for channel in adapter.own_channels() {
            hub.channels.subscribe(channel);
        }
        adapter
    }

    fn own_channels(&self) -> [String; 4] {
        let (response, uid) = (self.response_channel(), &self.hub.uid);
        [self.channel(None), self.request_channel(), format!("{response}{uid}#"), response]
    }

    fn channel(&self, room: Option<&str>) -> String {
        match room {
            None => self.hub.channels.of(&self.nsp),
            Some(room) => self.hub.channels.within(&self.nsp, room),
        }
    }

    fn request_channel(&self) -> String {
        format!("{}-request#{}#", self.hub.channels.prefix(), self.nsp)
    }

    fn response_channel(&self) -> String {
        format!("{}-response#{}#", self.hub.channels.prefix(), self.nsp)
    }

    fn ask(&self, id: Option<&str>, request: &Request<'_>, attachments: &[Bytes]) {
        let payload = codec::request(&self.hub.uid, id, &self.nsp, request, attachments);
        self.hub.channels.send(self.request_channel(), payload);
    }

    async fn others(&self) -> Result<usize, AdapterError> {
        self.hub.channels.others(&self.request_channel()).await
    }

    async fn ask_all(
        &self,
        timeout: Duration,
        request: Request<'_>,
        attachments: &[Bytes],
    ) -> Result<Vec<Payload>, AdapterError> {
        let others = self.others().await?;
        if others == 0 {
            return Ok(Vec::new());
        }
        let id = random_id();
        let mut answers = self.requests.collect(id.clone());
        self.ask(Some(&id), &request, attachments);
        let all = wait_for_all(&mut answers, others, timeout, || self.others()).await;
        self.requests.close(&id);
        all
    }

    fn on_broadcast(&self, room: Option<&str>, payload: &Bytes) -> Result<(), MessageError> {
        if codec::is_from(&self.hub.uid, payload) {
            return Ok(());
        }
        if let Some(Broadcast { uid: _, data, options }) = codec::read_broadcast(&self.nsp, payload)? {
            let mut options = from_wire(options);
            if let Some(room) = room.filter(|_| options.rooms.is_empty()) {
                // A publisher that names the room by the channel alone.
                options.rooms.push(room.into());
            }
            self.local.broadcast(&Payload::from_parts(data.json.into(), data.attachments), &options);
        }
        Ok(())
    }

    fn on_request(self: &Arc<Self>, payload: &Bytes) -> Result<(), MessageError> {
        let asked = Asked::read(payload)?;
        if asked.uid.as_deref() == Some(&self.hub.uid) {
            return Ok(());
        }
        let answer = |response: &Response<'_>| {
            if let Some(id) = &asked.request {
                // Every Node server listens on the channel that is its own: the others need not read the answer.
                let channel = match &asked.uid {
                    Some(uid) => format!("{}{uid}#", self.response_channel()),
                    None => self.response_channel(),
                };
                self.hub.channels.send(channel, codec::response(id, response, &[]));
            }
        };
        let payload = |data: &str| Payload::from_parts(data.into(), asked.attachments().to_vec());
        match asked.request()? {
            Request::Sockets { rooms } => {
                let options = BroadcastOptions {
                    rooms: rooms.into_iter().map(Room::from).collect(),
                    ..Default::default()
                };
                let ids: Vec<_> = self.local.sockets(&options).iter().map(|s| s.id.to_string()).collect();
                answer(&Response::Sockets(&json(&ids)));
            }
            Request::AllRooms => {
                let rooms: Vec<_> = self.local.rooms().iter().map(ToString::to_string).collect();
                answer(&Response::Rooms(&json(&rooms)));
            }
            Request::Join { opts, rooms } => {
                let rooms: Vec<_> = rooms.into_iter().map(Room::from).collect();
                self.local.add_sockets(&from_wire(opts), &rooms);
            }
            Request::Leave { opts, rooms } => {
                let rooms: Vec<_> = rooms.into_iter().map(Room::from).collect();
                self.local.del_sockets(&from_wire(opts), &rooms);
            }
            Request::Disconnect { opts, close } => self.local.disconnect_sockets(&from_wire(opts), close),
            Request::Fetch { opts } => {
                let sockets: Vec<_> =
                    self.local.sockets(&from_wire(opts)).into_iter().map(Socket::from).collect();
                answer(&Response::Sockets(&json(&sockets)));
            }
            Request::ServerSideEmit { data } => {
                let ack = asked.request.clone().map(|id| -> ServerSideAck {
                    let adapter = self.clone();
                    Box::new(move |answer| {
                        let arg = first_argument(&answer);
                        let response =
                            codec::response(&id, &Response::ServerSideEmit(&arg), answer.attachments());
                        adapter.hub.channels.send(adapter.response_channel(), response);
                    })
                });
                self.local.server_side_emit(payload(data), ack);
            }
            Request::Broadcast { data, opts } => {
                if let Some(id) = asked.request.clone() {
                    let channel = match &asked.uid {
                        Some(uid) => format!("{}{uid}#", self.response_channel()),
                        None => self.response_channel(),
                    };
                    let sink = Responder { adapter: self.clone(), channel, id };
                    self.local.broadcast_with_ack(&payload(data), &from_wire(opts), Arc::new(sink));
                }
            }
        }
        Ok(())
    }

    fn on_response(&self, payload: &Bytes) -> Result<(), MessageError> {
        let answered = Answered::read(payload)?;
        let id = &answered.request;
        if !self.requests.is_open(id) {
            return Ok(());
        }
        let payload = |text: &str| Payload::from_parts(text.into(), answered.attachments().to_vec());
        match answered.response()? {
            Response::Sockets(value) | Response::Rooms(value) | Response::ServerSideEmit(value) => {
                self.requests.answer(id, payload(value));
            }
            Response::ClientCount(count) => self.requests.clients(id, count),
            Response::Ack(value) => self.requests.ack(id, as_arguments(payload(value))),
        }
        Ok(())
    }
}

/// Passes answers of clients here on to the server that asked.
struct Responder {
    adapter: Arc<ClassicAdapter>,
    channel: String,
    id: String,
}

impl AckSink for Responder {
    fn clients(&self, count: usize) {
        let response = codec::response(&self.id, &Response::ClientCount(count as u64), &[]);
        self.adapter.hub.channels.send(self.channel.clone(), response);
    }

    fn ack(&self, data: Payload) {
        let response = codec::response(&self.id, &Response::Ack(&first_argument(&data)), data.attachments());
        self.adapter.hub.channels.send(self.channel.clone(), response);
    }
}

impl Adapter for ClassicAdapter {
    fn broadcast(&self, data: Payload, options: BroadcastOptions) -> Done {
        if !options.flags.local {
            let room = if let [room] = &options.rooms[..] { Some(&**room) } else { None };
            let wire = to_wire(&options);
            let payload = codec::broadcast(&self.hub.uid, &self.nsp, data.json(), data.attachments(), &wire);
            self.hub.channels.send(self.channel(room), payload);
        }
        self.local.broadcast(&data, &options);
        Done::NOW
    }

    fn broadcast_with_ack(&self, data: Payload, options: BroadcastOptions, sink: Arc<dyn AckSink>) {
        if !options.flags.local {
            let id = random_id();
            let timeout = options.flags.timeout.unwrap_or(DEFAULT_ACK_TIMEOUT);
            self.requests.acks(id.clone(), sink.clone(), timeout);
            let request = Request::Broadcast { data: data.json(), opts: to_wire(&options) };
            self.ask(Some(&id), &request, data.attachments());
        }
        self.local.broadcast_with_ack(&data, &options, sink);
    }

    fn add_sockets(&self, options: BroadcastOptions, rooms: Vec<Room>) {
        if !options.flags.local {
            let names = rooms.iter().map(ToString::to_string).collect();
            self.ask(None, &Request::Join { opts: to_wire(&options), rooms: names }, &[]);
        }
        Action::Join { options, rooms }.apply(&*self.local, None);
    }

    fn del_sockets(&self, options: BroadcastOptions, rooms: Vec<Room>) {
        if !options.flags.local {
            let names = rooms.iter().map(ToString::to_string).collect();
            self.ask(None, &Request::Leave { opts: to_wire(&options), rooms: names }, &[]);
        }
        Action::Leave { options, rooms }.apply(&*self.local, None);
    }

    fn disconnect_sockets(&self, options: BroadcastOptions, close: bool) {
        if !options.flags.local {
            self.ask(None, &Request::Disconnect { opts: to_wire(&options), close }, &[]);
        }
        Action::Disconnect { options, close }.apply(&*self.local, None);
    }

    fn fetch_sockets(
        &self,
        options: BroadcastOptions,
    ) -> BoxFuture<'_, Result<Vec<SocketInfo>, AdapterError>> {
        Box::pin(async move {
            let mut sockets = self.local.sockets(&options);
            if !options.flags.local {
                let timeout = options.flags.timeout.unwrap_or(DEFAULT_TIMEOUT);
                let request = Request::Fetch { opts: to_wire(&options) };
                for answer in self.ask_all(timeout, request, &[]).await? {
                    let found: Vec<Socket> =
                        answer.parse().map_err(|e| AdapterError::Malformed(e.to_string()))?;
                    sockets.extend(found.into_iter().map(SocketInfo::from));
                }
            }
            Ok(sockets)
        })
    }

    fn server_side_emit(&self, data: Payload) {
        self.ask(None, &Request::ServerSideEmit { data: data.json() }, data.attachments());
    }

    fn server_side_emit_with_ack(
        &self,
        data: Payload,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Vec<Payload>, AdapterError>> {
        Box::pin(async move {
            let request = Request::ServerSideEmit { data: data.json() };
            let answers = self.ask_all(timeout, request, data.attachments()).await?;
            Ok(answers.into_iter().map(as_arguments).collect())
        })
    }

    fn server_count(&self) -> BoxFuture<'_, Result<usize, AdapterError>> {
        Box::pin(async { Ok(self.others().await? + 1) })
    }

    fn room_created(&self, room: &Room) -> Done {
        self.hub.channels.subscribe(self.channel(Some(room)))
    }

    fn room_deleted(&self, room: &Room) {
        self.hub.channels.unsubscribe(self.channel(Some(room)));
    }

    fn close(&self) {
        self.hub.namespaces.write().remove(&self.nsp);
        for channel in self.own_channels() {
            self.hub.channels.unsubscribe(channel);
        }
    }
}

#[cfg(test)]
mod tests;

//! Requests between servers in the form of `ClusterAdapter`: broadcasts with acknowledgement, `fetchSockets`,
//! `serverSideEmit`. The streams and the sharded adapter differ in how the messages travel ([`Wire`]).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use serde::Deserialize;
use serde_json::Value;

use super::action::{from_wire, to_wire};
use super::envelope::Envelope;
use super::message::{Message, json};
use super::requests::{Requests, random_id, wait_for_all};
use super::sockets::Sockets;
use crate::adapter::{AckSink, AdapterError, BoxFuture, BroadcastOptions, ServerSideAck, SocketInfo};
use crate::packet::Payload;

/// How long answers are awaited where the caller does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long acknowledgements are passed on where the caller does not say.
const DEFAULT_ACK_TIMEOUT: Duration = Duration::from_secs(60);

/// Carries messages to the other servers. Never blocks; what fails is counted there.
pub trait Wire: Send + Sync + 'static {
    /// To all of them.
    fn publish(&self, nsp: &str, message: &Message<'_>, attachments: &[Bytes]);
    /// To one of them.
    fn respond(&self, nsp: &str, to: &str, message: &Message<'_>, attachments: &[Bytes]);
    /// How many there are, without this one.
    fn others<'a>(&'a self, nsp: &'a str) -> BoxFuture<'a, Result<usize, AdapterError>>;
}

/// A namespace's requests.
pub struct Cluster {
    local: Arc<dyn Sockets>,
    wire: Arc<dyn Wire>,
    requests: Arc<Requests>,
}

/// The calls of an [`Adapter`](crate::adapter::Adapter) that are requests to the other servers: alike in each adapter
/// that has a [`Cluster`].
macro_rules! requests_of_cluster {
    ($($cluster:tt)+) => {
        fn broadcast_with_ack(&self, data: Payload, options: BroadcastOptions, sink: Arc<dyn AckSink>) {
            self.$($cluster)+.broadcast_with_ack(data, options, sink);
        }

        fn fetch_sockets(
            &self,
            options: BroadcastOptions,
        ) -> BoxFuture<'_, Result<Vec<SocketInfo>, AdapterError>> {
            Box::pin(self.$($cluster)+.fetch_sockets(options))
        }

        fn server_side_emit(&self, data: Payload) {
            self.$($cluster)+.server_side_emit(&data);
        }

        fn server_side_emit_with_ack(
            &self,
            data: Payload,
            timeout: Duration,
        ) -> BoxFuture<'_, Result<Vec<Payload>, AdapterError>> {
            Box::pin(self.$($cluster)+.server_side_emit_with_ack(data, timeout))
        }

        fn server_count(&self) -> BoxFuture<'_, Result<usize, AdapterError>> {
            Box::pin(self.$($cluster)+.server_count())
        }
    };
}
pub(super) use requests_of_cluster;

impl Cluster {
    /// For the sockets in `local`.
    pub fn new(local: Arc<dyn Sockets>, wire: Arc<dyn Wire>) -> Self {
        Self { local, wire, requests: Arc::default() }
    }

    fn nsp(&self) -> &str {
        self.local.namespace()
    }

    /// See [`Adapter::broadcast_with_ack`](crate::adapter::Adapter::broadcast_with_ack).
    pub fn broadcast_with_ack(&self, data: Payload, options: BroadcastOptions, sink: Arc<dyn AckSink>) {
        if !options.flags.local {
            let request = random_id();
            let timeout = options.flags.timeout.unwrap_or(DEFAULT_ACK_TIMEOUT);
            self.requests.acks(request.clone(), sink.clone(), timeout);
            let message =
                Message::Broadcast { data: data.json(), request: Some(request), opts: to_wire(&options) };
            self.wire.publish(self.nsp(), &message, data.attachments());
        }
        self.local.broadcast_with_ack(&data, &options, sink);
    }

    /// See [`Adapter::fetch_sockets`](crate::adapter::Adapter::fetch_sockets).
    pub async fn fetch_sockets(&self, options: BroadcastOptions) -> Result<Vec<SocketInfo>, AdapterError> {
        let mut sockets = self.local.sockets(&options);
        if options.flags.local {
            return Ok(sockets);
        }
        let timeout = options.flags.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let answers =
            self.ask(timeout, |request| (Message::FetchSockets { opts: to_wire(&options), request }, &[]));
        for answer in answers.await? {
            let found: Vec<Socket> = answer.parse().map_err(|e| AdapterError::Malformed(e.to_string()))?;
            sockets.extend(found.into_iter().map(SocketInfo::from));
        }
        Ok(sockets)
    }

    /// See [`Adapter::server_side_emit`](crate::adapter::Adapter::server_side_emit).
    pub fn server_side_emit(&self, data: &Payload) {
        let message = Message::ServerSideEmit { args: data.json(), request: None };
        self.wire.publish(self.nsp(), &message, data.attachments());
    }

    /// See [`Adapter::server_side_emit_with_ack`](crate::adapter::Adapter::server_side_emit_with_ack).
    pub async fn server_side_emit_with_ack(
        &self,
        data: Payload,
        timeout: Duration,
    ) -> Result<Vec<Payload>, AdapterError> {
        let answers = self.ask(timeout, |request| {
            (Message::ServerSideEmit { args: data.json(), request: Some(request) }, data.attachments())
        });
        Ok(answers.await?.into_iter().map(as_arguments).collect())
    }

    /// See [`Adapter::server_count`](crate::adapter::Adapter::server_count).
    pub async fn server_count(&self) -> Result<usize, AdapterError> {
        Ok(self.wire.others(self.nsp()).await? + 1)
    }

    async fn ask<'a>(
        &'a self,
        timeout: Duration,
        message: impl FnOnce(String) -> (Message<'a>, &'a [Bytes]),
    ) -> Result<Vec<Payload>, AdapterError> {
        let others = self.wire.others(self.nsp()).await?;
        if others == 0 {
            return Ok(Vec::new());
        }
        let request = random_id();
        let mut answers = self.requests.collect(request.clone());
        let (message, attachments) = message(request.clone());
        self.wire.publish(self.nsp(), &message, attachments);
        let all = wait_for_all(&mut answers, others, timeout, || self.wire.others(self.nsp())).await;
        self.requests.close(&request);
        all
    }

    /// Handles a message of another server that asks or answers. What only acts on sockets is passed over.
    pub fn receive(&self, envelope: &Envelope, message: Message<'_>) {
        let payload = |text: &str| Payload::from_parts(text.into(), envelope.attachments.clone());
        match message {
            Message::Broadcast { data, request: Some(request), opts } => {
                let sink = self.responder(envelope, request);
                self.local.broadcast_with_ack(&payload(data), &from_wire(opts), Arc::new(sink));
            }
            Message::FetchSockets { opts, request } => {
                let sockets: Vec<_> =
                    self.local.sockets(&from_wire(opts)).into_iter().map(Socket::from).collect();
                let sockets = json(&sockets);
                let answer = Message::FetchSocketsResponse { request, sockets: &sockets };
                self.wire.respond(self.nsp(), &envelope.uid, &answer, &[]);
            }
            Message::ServerSideEmit { args, request } => {
                let ack = request.map(|request| -> ServerSideAck {
                    let responder = self.responder(envelope, request);
                    Box::new(move |answer| {
                        let arg = first_argument(&answer);
                        let message =
                            Message::ServerSideEmitResponse { request: responder.request.clone(), arg: &arg };
                        responder.respond(&message, answer.attachments());
                    })
                });
                self.local.server_side_emit(payload(args), ack);
            }
            Message::FetchSocketsResponse { request, sockets } => {
                self.requests.answer(&request, payload(sockets))
            }
            Message::ServerSideEmitResponse { request, arg } => self.requests.answer(&request, payload(arg)),
            Message::BroadcastClientCount { request, count } => self.requests.clients(&request, count),
            Message::BroadcastAck { request, arg } => self.requests.ack(&request, as_arguments(payload(arg))),
            Message::InitialHeartbeat
            | Message::Heartbeat
            | Message::Close
            | Message::Broadcast { request: None, .. }
            | Message::SocketsJoin { .. }
            | Message::SocketsLeave { .. }
            | Message::DisconnectSockets { .. } => {}
        }
    }

    fn responder(&self, envelope: &Envelope, request: String) -> Responder {
        let nsp = self.local.namespace().clone();
        Responder { wire: self.wire.clone(), nsp, to: envelope.uid.clone(), request }
    }
}

/// Passes answers of clients here on to the server that asked.
struct Responder {
    wire: Arc<dyn Wire>,
    nsp: ByteString,
    to: String,
    request: String,
}

impl Responder {
    fn respond(&self, message: &Message<'_>, attachments: &[Bytes]) {
        self.wire.respond(&self.nsp, &self.to, message, attachments);
    }
}

impl AckSink for Responder {
    fn clients(&self, count: usize) {
        let message = Message::BroadcastClientCount { request: self.request.clone(), count: count as u64 };
        self.respond(&message, &[]);
    }

    fn ack(&self, data: Payload) {
        let arg = first_argument(&data);
        let message = Message::BroadcastAck { request: self.request.clone(), arg: &arg };
        self.respond(&message, data.attachments());
    }
}

/// The first of an ack's arguments as JSON: the one that travels between servers.
pub fn first_argument(ack: &Payload) -> String {
    ack.get::<&serde_json::value::RawValue>(0).map_or_else(|_| "null".to_owned(), |arg| arg.get().to_owned())
}

/// The ack whose only argument is this value.
pub fn as_arguments(value: Payload) -> Payload {
    Payload::from_parts(format!("[{}]", value.json()).into(), value.attachments().to_vec())
}

/// A socket in a response.
#[derive(serde::Serialize, Deserialize)]
pub struct Socket {
    id: String,
    handshake: Value,
    rooms: Vec<String>,
    #[serde(default)]
    data: Value,
}

impl From<SocketInfo> for Socket {
    fn from(SocketInfo { id, handshake, rooms, data }: SocketInfo) -> Self {
        Self { id: id.to_string(), handshake, rooms: rooms.iter().map(ToString::to_string).collect(), data }
    }
}

impl From<Socket> for SocketInfo {
    fn from(Socket { id, handshake, rooms, data }: Socket) -> Self {
        Self { id: id.into(), handshake, rooms: rooms.into_iter().map(ByteString::from).collect(), data }
    }
}

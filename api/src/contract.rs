//! The pod contract: what the operator and a fleet's server agree on.
//!
//! Any server that keeps it can be a fleet's image; `socket-server` is the one we ship. Durations on the
//! wire are milliseconds (`…Ms`) or seconds (`…Seconds`), instants are Unix milliseconds.

use serde::{Deserialize, Serialize};

/// Port of the Socket.IO endpoint (and of [`paths::HEALTH`] for load balancers).
pub const DEFAULT_SOCKET_PORT: u16 = 3000;
/// Port of the admin endpoint: probes, metrics, drain.
pub const DEFAULT_ADMIN_PORT: u16 = 8081;
/// Path of the Socket.IO endpoint, Socket.IO's own default.
pub const DEFAULT_SOCKET_PATH: &str = "/socket.io/";
/// Open sockets that one server accepts by default.
pub const DEFAULT_MAX_CONNECTIONS: u32 = 10_000;

/// Names of the container ports.
pub mod ports {
    /// The Socket.IO port.
    pub const SOCKET: &str = "socket";
    /// The admin port.
    pub const ADMIN: &str = "admin";
}

/// Paths of the admin port.
pub mod paths {
    /// 200 while the process works; never depends on Redis or on load.
    pub const LIVEZ: &str = "/livez";
    /// 200 when sockets may be kept here; 503 before the server listens and once a drain, whoever began it, has
    /// emptied it ([`DrainPhase::Drained`](super::DrainPhase::Drained)): not while sockets are still being moved.
    /// Saturation and Redis do not show here: a NotReady pod is the first that a ReplicaSet deletes.
    pub const READYZ: &str = "/readyz";
    /// [`Health`](super::Health) as JSON; also served on the socket port.
    pub const HEALTH: &str = "/health";
    /// OpenMetrics text.
    pub const METRICS: &str = "/metrics";
    /// `GET`, `POST` ([`DrainRequest`](super::DrainRequest)) and `DELETE`, all answering
    /// [`DrainReport`](super::DrainReport).
    pub const DRAIN: &str = "/drain";
}

/// Environment variables that the operator sets in the server's container.
pub mod env {
    /// Redis server, sentinel or cluster URL; absent where the fleet has no Redis.
    pub const REDIS_URL: &str = "REDIS_URL";
    /// Prefix of the adapter's keys and channels.
    pub const REDIS_PREFIX: &str = "REDIS_PREFIX";
    /// [`AdapterKind`](super::AdapterKind) in its serialised form.
    pub const REDIS_ADAPTER: &str = "REDIS_ADAPTER";
    /// Open sockets that the server accepts.
    pub const MAX_CONNECTIONS: &str = "MAX_CONNECTIONS";
    /// Name of the instance in logs and metrics: the pod's name.
    pub const INSTANCE_ID: &str = "INSTANCE_ID";
    /// Port of the Socket.IO endpoint.
    pub const PORT: &str = "PORT";
    /// Port of the admin endpoint.
    pub const ADMIN_PORT: &str = "ADMIN_PORT";
    /// Path of the Socket.IO endpoint.
    pub const SOCKET_PATH: &str = "SOCKET_PATH";
    /// File with the token that changing calls to the admin port carry as `Authorization: Bearer`.
    pub const ADMIN_TOKEN_FILE: &str = "ADMIN_TOKEN_FILE";
    /// Seconds that a drain started by SIGTERM may take: less than the pod's grace period.
    pub const SHUTDOWN_DRAIN_SECONDS: &str = "SHUTDOWN_DRAIN_SECONDS";
}

/// Labels and annotations on the objects of a fleet.
pub mod labels {
    /// Label: name of the fleet.
    pub const FLEET: &str = "socketfleet.io/fleet";
    /// Label: hash of the pod template, one Deployment each.
    pub const REVISION: &str = "socketfleet.io/revision";
    /// Label: whether new sockets are sent to the pod, a [`Traffic`](super::Traffic) value. The fleet's
    /// Service selects on [`Traffic::Accept`](super::Traffic::Accept).
    pub const TRAFFIC: &str = "socketfleet.io/traffic";
    /// Label: what the object is for in the fleet: `server` or `redis`.
    pub const COMPONENT: &str = "app.kubernetes.io/component";
    /// Prefix of the annotations that hold a drain's state on the Pod.
    pub const DRAIN_PREFIX: &str = "socketfleet.io/drain-";
    /// Annotation: [`PodDrainPhase`](super::PodDrainPhase) of the operator's drain, absent on a pod that serves.
    pub const DRAIN_PHASE: &str = "socketfleet.io/drain-phase";
    /// Annotation: when the drain began, RFC 3339 in UTC.
    pub const DRAIN_STARTED: &str = "socketfleet.io/drain-started";
    /// Annotation: when what is left is closed by force, RFC 3339 in UTC. Set once, never moved.
    pub const DRAIN_DEADLINE: &str = "socketfleet.io/drain-deadline";
    /// Annotation: why the pod drains, a [`DrainReason`](super::DrainReason).
    pub const DRAIN_REASON: &str = "socketfleet.io/drain-reason";
    /// Annotation: when the drain's phase began, RFC 3339 in UTC.
    pub const DRAIN_PHASE_SINCE: &str = "socketfleet.io/drain-phase-since";
    /// Annotation: why this pod and not another, for people.
    pub const DRAIN_WHY: &str = "socketfleet.io/drain-why";
    /// Annotation: open sockets when the drain began.
    pub const DRAIN_SOCKETS: &str = "socketfleet.io/drain-sockets";
    /// Annotation on a fleet, RFC 3339 in UTC: a rollout that was judged failed before this instant is tried
    /// again.
    pub const ROLLOUT_RETRIED: &str = "socketfleet.io/rollout-retried";
    /// Annotation that people set (`true`) to drain a pod by hand, and remove to take it back.
    pub const DRAIN_REQUESTED: &str = "socketfleet.io/drain-requested";
    /// Kubernetes' own: the ReplicaSet deletes the pod with the lowest cost first among equals.
    pub const POD_DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
}

/// Whether the fleet's Service sends new sockets to a pod; value of [`labels::TRAFFIC`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Traffic {
    /// New sockets are sent here.
    Accept,
    /// The pod is full: it keeps its sockets and gets no new ones.
    Saturated,
    /// The pod drains, or belongs to a revision that does.
    Drain,
}

impl Traffic {
    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Saturated => "saturated",
            Self::Drain => "drain",
        }
    }

    /// Reads a label's value; `None` for one that is not ours.
    pub fn parse(value: &str) -> Option<Self> {
        [Self::Accept, Self::Saturated, Self::Drain].into_iter().find(|t| t.as_str() == value)
    }
}

/// How far the operator is with a pod's drain; value of [`labels::DRAIN_PHASE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PodDrainPhase {
    /// Out of the Service, its server being told.
    Notified,
    /// Its sockets are leaving at the paced rate.
    Draining,
    /// The deadline has come: what is left is being closed.
    Forced,
    /// No socket left; the Deployment may shrink once the pod is seen NotReady.
    Empty,
}

impl PodDrainPhase {
    /// The annotation's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notified => "Notified",
            Self::Draining => "Draining",
            Self::Forced => "Forced",
            Self::Empty => "Empty",
        }
    }

    /// Reads an annotation's value; `None` for one that is not ours.
    pub fn parse(value: &str) -> Option<Self> {
        [Self::Notified, Self::Draining, Self::Forced, Self::Empty].into_iter().find(|p| p.as_str() == value)
    }
}

/// Why a pod drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DrainReason {
    /// Fewer pods are wanted.
    ScaleIn,
    /// A newer revision takes its place.
    Rollout,
    /// Its node is cordoned or being drained.
    NodeDrain,
    /// The pod is being deleted or evicted by somebody else.
    Deleted,
    /// Somebody asked for it with [`labels::DRAIN_REQUESTED`].
    Manual,
    /// The fleet is being deleted.
    FleetDeleted,
    /// The process got SIGTERM: it drains by itself.
    Shutdown,
}

impl DrainReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ScaleIn,
        Self::Rollout,
        Self::NodeDrain,
        Self::Deleted,
        Self::Manual,
        Self::FleetDeleted,
        Self::Shutdown,
    ];

    /// The value as annotations and JSON carry it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScaleIn => "ScaleIn",
            Self::Rollout => "Rollout",
            Self::NodeDrain => "NodeDrain",
            Self::Deleted => "Deleted",
            Self::Manual => "Manual",
            Self::FleetDeleted => "FleetDeleted",
            Self::Shutdown => "Shutdown",
        }
    }

    /// Reads the value that [`as_str`](Self::as_str) gave; `None` for one that is not ours.
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == value)
    }
}

/// Body of `POST /drain`. Sending it again changes the pace or the deadline of the drain that runs; it
/// never starts a second one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrainRequest {
    /// When the sockets that are left are closed at once, Unix milliseconds.
    pub deadline: u64,
    /// Sockets closed per second; 0 holds the drain (nobody new, nobody closed). Absent: spread evenly
    /// over the time that is left until the deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconnects_per_second: Option<f64>,
    /// Why, for logs and metrics.
    pub reason: DrainReason,
}

/// How far a server's own drain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrainPhase {
    /// No drain.
    Serving,
    /// New sockets are refused, open ones are being moved.
    Draining,
    /// No socket is left. `/readyz` answers 503 from here on.
    Drained,
}

/// Answer of every call to `/drain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainReport {
    /// How far the drain is.
    pub phase: DrainPhase,
    /// Sockets still open.
    pub remaining: u64,
    /// Sockets closed by this drain, after their client was told.
    pub moved: u64,
    /// Of these, closed at the deadline and not at the pace.
    pub forced: u64,
    /// Instant after which the rest is closed at once, Unix milliseconds; absent while serving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// Why, absent while serving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<DrainReason>,
    /// The pace in force, as the last [`DrainRequest`] set it; absent while serving, and where the drain
    /// spreads itself over the time that is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconnects_per_second: Option<f64>,
}

impl DrainReport {
    /// Of a server that serves `open` sockets.
    pub const fn serving(open: u64) -> Self {
        Self {
            phase: DrainPhase::Serving,
            remaining: open,
            moved: 0,
            forced: 0,
            deadline: None,
            reason: None,
            reconnects_per_second: None,
        }
    }
}

/// What `/health` says in `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// All is well.
    Healthy,
    /// A drain runs or has emptied the server.
    Draining,
    /// It serves, without Redis or short of memory.
    Degraded,
}

/// Body of `GET /health`. The operator scrapes it, load balancers look at its HTTP status: 200, or 503
/// while `draining`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// In one word.
    pub status: HealthStatus,
    /// Name of the instance.
    pub instance: String,
    /// Open sockets: Engine.IO connections that have passed the handshake.
    pub connections: u64,
    /// Open sockets that the server accepts.
    pub capacity: u64,
    /// Rooms with a member here, own-id rooms left out.
    pub rooms: u64,
    /// Seconds since the process began to listen.
    pub uptime: f64,
    /// Memory of the process.
    pub memory: Memory,
    /// How far a drain is.
    pub drain: DrainReport,
    /// Why the status is `degraded`, one short sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Sockets accepted since the process began.
    #[serde(default)]
    pub connections_total: u64,
    /// Sockets whose session was recovered here since the process began.
    #[serde(default)]
    pub recovered_total: u64,
    /// Clients that the application refused since the process began, by middleware or for their namespace;
    /// not those that found the server full or draining. The operator judges a new revision by their share
    /// of `connectionsTotal`.
    #[serde(default)]
    pub connect_errors_total: u64,
    /// Sessions that were recovered here and came from servers that drained, by server: at most 64, each
    /// until nobody has come from it for ten minutes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arrivals: Vec<Arrivals>,
}

/// Sessions that a server recovered and another one had moved away in a drain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrivals {
    /// Instance that had moved them.
    pub from: String,
    /// How long they were away, from the goodbye until the recovery: how many in each bucket of
    /// [`AWAY_BOUNDS_MS`], and in one more for what exceeds the last.
    pub away: Vec<u64>,
}

/// Upper bounds, inclusive, of the buckets of [`Arrivals::away`], milliseconds.
pub const AWAY_BOUNDS_MS: [u64; 14] =
    [50, 100, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 20_000, 60_000];

/// Memory of the server's process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Resident set size.
    pub rss: u64,
    /// The cgroup's limit, absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Event that a draining server emits to a client before it closes the client's transport.
pub const MAINTENANCE_EVENT: &str = "server:maintenance";

/// Data of [`MAINTENANCE_EVENT`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Maintenance {
    /// For people.
    pub message: String,
    /// For programs: [`Maintenance::CODE`].
    pub code: String,
    /// How long the client should wait before it connects again, milliseconds.
    pub reconnect_in_ms: u64,
}

impl Maintenance {
    /// The code of a drain.
    pub const CODE: &str = "SERVER_DRAINING";

    /// The message of a drain, with the time after which the client should come back.
    pub fn draining(reconnect_in_ms: u64) -> Self {
        Self {
            message: "Server maintenance, please reconnect".into(),
            code: Self::CODE.into(),
            reconnect_in_ms,
        }
    }
}

/// How the servers of a fleet share rooms; value of [`env::REDIS_ADAPTER`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
pub enum AdapterKind {
    /// Redis Streams (`@socket.io/redis-streams-adapter`): the only one with connection state recovery, so
    /// that a client that is moved to another pod misses nothing.
    #[default]
    Streams,
    /// Classic pub/sub (`@socket.io/redis-adapter`).
    PubSub,
    /// Sharded pub/sub of Redis 7.
    ShardedPubSub,
}

impl AdapterKind {
    /// The value as the environment carries it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::PubSub => "pubsub",
            Self::ShardedPubSub => "sharded-pubsub",
        }
    }
}

/// Metric families of a server, in OpenMetrics names without the `_total` of counters.
pub mod metrics {
    /// Gauge: open sockets.
    pub const OPEN_SOCKETS: &str = "socketfleet_open_sockets";
    /// Gauge: rooms with a member here.
    pub const ROOMS: &str = "socketfleet_rooms";
    /// Gauge: open sockets that the server accepts.
    pub const MAX_CONNECTIONS: &str = "socketfleet_max_connections";
    /// Gauge: 1 while a drain runs, else 0.
    pub const DRAINING: &str = "socketfleet_draining";
    /// Counter: sockets accepted.
    pub const CONNECTIONS: &str = "socketfleet_connections";
    /// Histogram, seconds: from a draining server's goodbye until the session was recovered here.
    pub const RECONNECT_DURATION: &str = "socketfleet_reconnect_duration_seconds";
    /// Counter: clients that the application refused.
    pub const CONNECT_ERRORS: &str = "socketfleet_connect_errors";
    /// Counter: events received from clients.
    pub const MESSAGES_RECEIVED: &str = "socketfleet_messages_received";
    /// Counter: events sent to clients.
    pub const MESSAGES_SENT: &str = "socketfleet_messages_sent";
    /// Histogram, seconds: from an event's arrival until it was written to its last receiver here.
    pub const MESSAGE_LATENCY: &str = "socketfleet_message_latency_seconds";
    /// Histogram, seconds: how late the event loop runs what is due.
    pub const EVENT_LOOP_LAG: &str = "socketfleet_event_loop_lag_seconds";
    /// Gauge, bytes: resident set size.
    pub const MEMORY_RSS: &str = "socketfleet_memory_rss_bytes";
    /// Histogram, seconds: Redis commands.
    pub const REDIS_COMMAND_DURATION: &str = "socketfleet_redis_command_duration_seconds";
    /// Counter: failed Redis commands and lost connections.
    pub const REDIS_ERRORS: &str = "socketfleet_redis_errors";
    /// Info: instance and version.
    pub const INSTANCE_INFO: &str = "socketfleet_instance";
}

//! The load: pods of `tests/client`, steered through the API server's proxy.

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::until::until_read;
use crate::{Stats, Until, is_ready};

/// Where the client image's control port is.
const CONTROL_PORT: u16 = 9090;
/// Sockets that one client pod carries well.
const SOCKETS_PER_POD: u64 = 1500;

/// How the clients behave.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Sockets in all.
    pub sockets: u64,
    /// Members of a room.
    pub room_size: u64,
    /// Messages per socket and second.
    pub rate: f64,
    /// Sockets opened per second, in all.
    pub open_rate: f64,
    /// Length of a message's text.
    pub bytes: u64,
    /// `websocket`, or `polling,websocket` to begin with polling.
    pub transports: &'static str,
    /// The kernel keeps little of what a client does not read.
    pub small_windows: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            sockets: 100,
            room_size: 4,
            rate: 1.0,
            open_rate: 200.0,
            bytes: 64,
            transports: "websocket",
            small_windows: false,
        }
    }
}

/// Load clients in a namespace.
pub struct Clients {
    client: Client,
    namespace: String,
    pods: Vec<String>,
}

impl Clients {
    /// Starts as many pods as the sockets need, against the Service of a fleet in the same namespace.
    pub async fn start(client: &Client, namespace: &str, fleet: &str, options: &ClientOptions) -> Self {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let count = options.sockets.div_ceil(SOCKETS_PER_POD).max(1);
        let name = |n| format!("{fleet}-clients-{n}");
        for n in 0..count {
            let pod = pod(&name(n), fleet, options, share(options.sockets, count, n), count);
            pods.create(&PostParams::default(), &pod).await.expect("a client pod is accepted");
        }
        let started = pods
            .until_all(&format!("app={fleet}-clients"), "its load clients Ready", |pods| {
                pods.len() as u64 == count && pods.iter().all(is_ready)
            })
            .await;
        let pods = started.iter().map(ResourceExt::name_any).collect();
        Self { client: client.clone(), namespace: namespace.into(), pods }
    }

    /// The counts of all clients together.
    pub async fn stats(&self) -> Stats {
        self.each("GET", "stats", |_| None).await
    }

    /// Changes the number of sockets.
    pub async fn want_sockets(&self, sockets: u64) {
        let pods = self.pods.len() as u64;
        self.each("POST", "load", |n| Some(json!({ "sockets": share(sockets, pods, n) }))).await;
    }

    /// Lets the clients speak, or keeps them silent.
    pub async fn speak(&self, speak: bool) {
        self.each("POST", "load", |_| Some(json!({ "speak": speak }))).await;
    }

    /// The first members of so many rooms stop to read, and to speak; with less, they read on.
    pub async fn deafen(&self, rooms: u64) {
        let pods = self.pods.len() as u64;
        self.each("POST", "load", |n| Some(json!({ "deaf": share(rooms, pods, n) }))).await;
    }

    /// Counts reconnects per client from now on.
    pub async fn mark(&self) {
        self.each("POST", "mark", |_| None).await;
    }

    /// Falls silent and waits until everything that was sent has been acknowledged and delivered; then gives
    /// the counts, in which whatever is still outstanding is lost.
    pub async fn settle(&self) -> Stats {
        self.each("POST", "settle", |_| Some(json!({ "timeoutMs": 60_000 }))).await
    }

    /// Waits until the counts satisfy `condition`, and gives them.
    pub async fn until(&self, what: &str, condition: impl Fn(&Stats) -> bool) -> Stats {
        until_read(&format!("the clients to get {what}"), async || self.stats().await, condition).await
    }

    /// Waits until every wanted socket is connected and in its room.
    pub async fn until_joined(&self, sockets: u64) -> Stats {
        self.until(&format!("{sockets} sockets into their rooms"), |s| {
            s.joined == sockets && s.sockets == sockets
        })
        .await
    }

    async fn each(&self, method: &str, path: &str, body: impl Fn(u64) -> Option<Value>) -> Stats {
        let calls = self.pods.iter().zip(0..).map(|(pod, n)| self.call(pod, method, path, body(n)));
        let all =
            try_join_all(calls).await.unwrap_or_else(|e| panic!("{method} {path} of a load client: {e}"));
        all.into_iter().sum()
    }

    async fn call(&self, pod: &str, method: &str, path: &str, body: Option<Value>) -> kube::Result<Stats> {
        let namespace = &self.namespace;
        let uri = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{CONTROL_PORT}/proxy/{path}");
        let body = body.map_or_else(Vec::new, |b| b.to_string().into_bytes());
        let request = http::Request::builder().method(method).uri(uri).body(body);
        self.client.request(request.map_err(kube::Error::HttpError)?).await
    }
}

/// The part of pod `n` of `pods` in `total`.
fn share(total: u64, pods: u64, n: u64) -> u64 {
    total / pods + u64::from(n < total % pods)
}

fn pod(name: &str, fleet: &str, options: &ClientOptions, sockets: u64, pods: u64) -> Pod {
    let ClientOptions { sockets: _, room_size, rate, open_rate, bytes, transports, small_windows } = options;
    let sysctls: &[Value] = match small_windows {
        true => &[json!({ "name": "net.ipv4.tcp_rmem", "value": "4096 16384 65536" })],
        false => &[],
    };
    let options = [
        ("url", format!("http://{fleet}")),
        ("sockets", sockets.to_string()),
        ("room-size", room_size.to_string()),
        ("rate", rate.to_string()),
        ("open-rate", (open_rate / pods as f64).to_string()),
        ("bytes", bytes.to_string()),
        ("transports", transports.to_string()),
    ]
    .map(|(key, value)| format!("--{key}={value}"));
    let args = [&["/app/src/main.js".to_owned()], &options[..]].concat();
    serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": format!("{fleet}-clients") } },
        "spec": {
            "terminationGracePeriodSeconds": 5,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "restartPolicy": "Never",
            // What the strictest namespaces ask for.
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65532,
                "seccompProfile": { "type": "RuntimeDefault" },
                "sysctls": sysctls,
            },
            "containers": [{
                "name": "client",
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
                "image": "localhost/socketfleet-client:dev",
                "imagePullPolicy": "IfNotPresent",
                "args": args,
                "ports": [{ "name": "control", "containerPort": CONTROL_PORT }],
                "readinessProbe": { "httpGet": { "path": "/healthz", "port": "control" }, "periodSeconds": 1 },
                "resources": { "requests": { "cpu": "100m", "memory": "128Mi" } },
            }],
        },
    }))
    .expect("a pod")
}

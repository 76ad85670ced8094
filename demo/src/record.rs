//! What happened, once a second.

use std::time::Instant;

use futures::StreamExt;
use futures::future::join;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use socketfleet_api::SocketFleet;
use socketfleet_api::contract::labels;
use socketfleet_api::fleet::DrainStatus;
use socketfleet_tests::{Clients, Stats, is_ready, servers, sockets_on};

/// All samples, and when each step began.
pub struct Record {
    began: Instant,
    pub samples: Vec<Sample>,
    /// Seconds since the start, and the step's short name.
    pub steps: Vec<(f64, String)>,
}

/// The fleet and its clients at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Seconds since the start.
    pub at: f64,
    pub phase: String,
    pub revision: String,
    pub desired: i32,
    pub ready: i32,
    pub draining: i32,
    pub pods: Vec<PodSample>,
    pub drains: Vec<DrainStatus>,
    /// What the clients have counted since the start.
    pub clients: Stats,
}

/// One server pod.
#[derive(Clone, Debug)]
pub struct PodSample {
    pub name: String,
    pub node: String,
    pub revision: String,
    pub traffic: String,
    pub state: String,
    /// Absent while the pod does not answer.
    pub sockets: Option<u64>,
}

/// What has changed between two samples.
pub struct Change {
    pub sent_per_second: f64,
    pub received_per_second: f64,
    pub reconnects_per_second: f64,
    pub delivery_p50_ms: f64,
    pub delivery_p99_ms: f64,
}

impl Record {
    pub fn new() -> Self {
        Self { began: Instant::now(), samples: Vec::new(), steps: Vec::new() }
    }

    /// Notes that a step begins.
    pub fn step(&mut self, name: &str) {
        self.steps.push((self.seconds(), name.into()));
    }

    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// The changes from sample to sample; the first has none.
    pub fn changes(&self) -> impl Iterator<Item = (f64, Change)> + '_ {
        self.samples.windows(2).map(|pair| (pair[1].at, Change::between(&pair[0], &pair[1])))
    }

    /// The latest change.
    pub fn last_change(&self) -> Option<Change> {
        let [.., before, after] = &self.samples[..] else { return None };
        Some(Change::between(before, after))
    }
}

impl Change {
    fn between(before: &Sample, after: &Sample) -> Self {
        let seconds = (after.at - before.at).max(0.001);
        let rate = |count: fn(&Stats) -> u64| {
            count(&after.clients).saturating_sub(count(&before.clients)) as f64 / seconds
        };
        let delivery = after.clients.delivery_ms.since(&before.clients.delivery_ms);
        Self {
            sent_per_second: rate(|s| s.sent),
            received_per_second: rate(|s| s.received),
            reconnects_per_second: rate(|s| s.reconnects),
            delivery_p50_ms: delivery.quantile(0.5),
            delivery_p99_ms: delivery.quantile(0.99),
        }
    }
}

/// Takes samples of one fleet: the fleet and its pods by watching, sockets and clients by asking.
pub struct Sampler {
    client: Client,
    fleets: Store<SocketFleet>,
    pods: Store<Pod>,
    _watches: tokio::task::JoinSet<()>,
}

impl Sampler {
    pub fn new(client: &Client, namespace: &str, fleet: &str) -> Self {
        let mut watches = tokio::task::JoinSet::new();
        let (fleets, writer) = reflector::store();
        let watch = watcher(Api::namespaced(client.clone(), namespace), watcher::Config::default());
        watches.spawn(watch.default_backoff().reflect(writer).for_each(|_| async {}));
        let (pods, writer) = reflector::store();
        let watch = watcher(
            Api::namespaced(client.clone(), namespace),
            watcher::Config::default().labels(&servers(fleet)),
        );
        watches.spawn(watch.default_backoff().reflect(writer).for_each(|_| async {}));
        Self { client: client.clone(), fleets, pods, _watches: watches }
    }

    pub async fn sample(&self, at: f64, clients: Option<&Clients>) -> Sample {
        let mut pods: Vec<Pod> = self.pods.state().iter().map(|pod| Pod::clone(pod)).collect();
        pods.sort_by_key(|pod| (pod.creation_timestamp().map(|t| t.0), pod.name_any()));
        let stats = async {
            match clients {
                Some(clients) => clients.stats().await,
                None => Stats::default(),
            }
        };
        let (sockets, clients) = join(sockets_on(&self.client, &pods), stats).await;
        let fleet = self.fleets.state().first().map(|fleet| SocketFleet::clone(fleet));
        let status = fleet.as_ref().and_then(|f| f.status.clone()).unwrap_or_default();
        Sample {
            at,
            phase: status.phase.map_or_else(|| "Pending".into(), |phase| format!("{phase:?}")),
            revision: status.current_revision.unwrap_or_default(),
            desired: fleet.map_or(0, |f| f.spec.replicas),
            ready: status.ready_replicas,
            draining: status.draining_replicas,
            pods: pods.iter().map(|pod| PodSample::of(pod, sockets.get(&pod.name_any()).copied())).collect(),
            drains: status.drains,
            clients,
        }
    }
}

impl PodSample {
    fn of(pod: &Pod, sockets: Option<u64>) -> Self {
        let label = |key| pod.labels().get(key).cloned().unwrap_or_default();
        let state = match pod.annotations().get(labels::DRAIN_PHASE) {
            _ if pod.metadata.deletion_timestamp.is_some() => "Terminating",
            Some(phase) => phase,
            None if is_ready(pod) => "Serving",
            None => "Starting",
        };
        Self {
            name: pod.name_any(),
            node: pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default(),
            revision: label(labels::REVISION),
            traffic: label(labels::TRAFFIC),
            state: state.into(),
            sockets,
        }
    }
}

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use socketfleet_api::contract::DrainReason;
use socketfleet_api::fleet::DrainRecord;
use tokio::sync::Mutex;

use crate::kinds::Kind;

/// The operator's own metrics. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    reconcile: Histogram,
    errors: Family<Step, Counter>,
    writes: Family<Write, Counter>,
    leader: Gauge,
    fleets: Gauge,
    sockets: Family<Fleet, Gauge>,
    capacity: Family<Fleet, Gauge>,
    pods: Family<FleetPods, Gauge>,
    rollout_failed: Family<Fleet, Gauge>,
    drains: Family<FleetDrains, Histogram, fn() -> Histogram>,
    drained: Family<FleetSockets, Counter>,
    /// Pods that a Deployment deleted and that were not the ones to go. Stays 0.
    pub wrong_victims: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Step {
    step: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Write {
    kind: &'static str,
    verb: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Fleet {
    namespace: String,
    fleet: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FleetPods {
    namespace: String,
    fleet: String,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FleetDrains {
    namespace: String,
    fleet: String,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FleetSockets {
    namespace: String,
    fleet: String,
    outcome: &'static str,
}

/// What becomes of the sockets of a drain.
const OUTCOMES: [&str; 3] = ["moved", "recovered", "cut"];
/// States of a fleet's pods that are counted.
const POD_STATES: [&str; 3] = ["wanted", "ready", "draining"];

/// Numbers of one fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetNumbers {
    /// Open sockets.
    pub open_sockets: i64,
    /// Open sockets that the serving pods accept.
    pub capacity: i64,
    /// Pods that are wanted.
    pub wanted: i64,
    /// Pods that are Ready and do not drain.
    pub ready: i64,
    /// Pods that drain.
    pub draining: i64,
    /// Its rollout has failed.
    pub rollout_failed: bool,
}

/// From a pod that is nearly empty to the longest deadlines.
fn drain_duration() -> Histogram {
    Histogram::new([1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("socketfleet");
        // From a look that finds nothing to do, to one that waits for a slow API server.
        let reconcile =
            Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        let metrics = Self {
            reconcile,
            errors: Family::default(),
            writes: Family::default(),
            leader: Gauge::default(),
            fleets: Gauge::default(),
            sockets: Family::default(),
            capacity: Family::default(),
            pods: Family::default(),
            rollout_failed: Family::default(),
            drains: Family::new_with_constructor(drain_duration),
            drained: Family::default(),
            wrong_victims: Counter::default(),
            registry: Arc::default(),
        };
        registry.register_with_unit(
            "operator_reconcile_duration",
            "Time to look at one fleet and do what is to be done",
            Unit::Seconds,
            metrics.reconcile.clone(),
        );
        registry.register(
            "operator_reconcile_errors",
            "Looks at a fleet that failed, by step",
            metrics.errors.clone(),
        );
        registry.register(
            "operator_writes",
            "Writes to the API server, by kind and verb",
            metrics.writes.clone(),
        );
        registry.register(
            "operator_leader",
            "1 on the operator that acts, 0 on those that stand by",
            metrics.leader.clone(),
        );
        registry.register("operator_fleets", "Fleets that are looked after", metrics.fleets.clone());
        registry.register("fleet_open_sockets", "Open sockets of a fleet", metrics.sockets.clone());
        registry.register(
            "fleet_capacity_sockets",
            "Open sockets that a fleet's serving pods accept",
            metrics.capacity.clone(),
        );
        registry.register(
            "fleet_pods",
            "Pods of a fleet: wanted, ready (and not draining), draining",
            metrics.pods.clone(),
        );
        registry.register(
            "fleet_rollout_failed",
            "1 while a fleet's rollout counts as failed, else 0",
            metrics.rollout_failed.clone(),
        );
        registry.register_with_unit(
            "fleet_drain_duration",
            "From the beginning of a drain until the pod held no socket, by what it drained for",
            Unit::Seconds,
            metrics.drains.clone(),
        );
        registry.register(
            "fleet_drained_sockets",
            "Sockets of drains that have ended: moved, of these recovered by other servers, of these cut at the deadline",
            metrics.drained.clone(),
        );
        registry.register(
            "wrong_victims",
            "Pods that a Deployment deleted and that were not the ones to go",
            metrics.wrong_victims.clone(),
        );
        Self { registry: Arc::new(Mutex::new(registry)), ..metrics }
    }
}

impl Metrics {
    /// Lets others add their metrics.
    pub async fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut *self.registry.lock().await);
    }

    /// All metrics as OpenMetrics text.
    pub async fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &*self.registry.lock().await);
        text
    }

    pub(crate) fn reconciled(&self, took: Duration, failed_step: Option<&'static str>) {
        self.reconcile.observe(took.as_secs_f64());
        if let Some(step) = failed_step {
            self.errors.get_or_create(&Step { step }).inc();
        }
    }

    pub(crate) fn wrote(&self, kind: Kind, verb: &'static str) {
        self.writes.get_or_create(&Write { kind: kind.name(), verb }).inc();
    }

    pub(crate) fn wrote_status(&self) {
        self.writes.get_or_create(&Write { kind: "SocketFleet", verb: "status" }).inc();
    }

    pub(crate) fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    pub(crate) fn knows(&self, fleets: usize) {
        self.fleets.set(i64::try_from(fleets).unwrap_or(i64::MAX));
    }

    pub(crate) fn fleet(&self, namespace: &str, fleet: &str, numbers: FleetNumbers) {
        let FleetNumbers { open_sockets, capacity, wanted, ready, draining, rollout_failed } = numbers;
        let labels = Fleet { namespace: namespace.to_owned(), fleet: fleet.to_owned() };
        self.sockets.get_or_create(&labels).set(open_sockets);
        self.capacity.get_or_create(&labels).set(capacity);
        self.rollout_failed.get_or_create(&labels).set(rollout_failed.into());
        for (state, value) in POD_STATES.into_iter().zip([wanted, ready, draining]) {
            let labels = FleetPods { namespace: namespace.to_owned(), fleet: fleet.to_owned(), state };
            self.pods.get_or_create(&labels).set(value);
        }
    }

    pub(crate) fn drained(&self, namespace: &str, fleet: &str, drain: &DrainRecord) {
        let (namespace, fleet) = (namespace.to_owned(), fleet.to_owned());
        for (outcome, sockets) in OUTCOMES.into_iter().zip([drain.moved, drain.recovered, drain.cut]) {
            let labels = FleetSockets { namespace: namespace.clone(), fleet: fleet.clone(), outcome };
            self.drained.get_or_create(&labels).inc_by(u64::try_from(sockets).unwrap_or(0));
        }
        let took = drain.ended_at.0.duration_since(drain.started_at.0);
        let labels = FleetDrains { namespace, fleet, reason: drain.reason.as_str() };
        self.drains.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub(crate) fn forget_fleet(&self, namespace: &str, fleet: &str) {
        let labels = Fleet { namespace: namespace.to_owned(), fleet: fleet.to_owned() };
        self.sockets.remove(&labels);
        self.capacity.remove(&labels);
        self.rollout_failed.remove(&labels);
        for state in POD_STATES {
            self.pods.remove(&FleetPods { namespace: namespace.to_owned(), fleet: fleet.to_owned(), state });
        }
        let (namespace, fleet) = (namespace.to_owned(), fleet.to_owned());
        for outcome in OUTCOMES {
            let labels = FleetSockets { namespace: namespace.clone(), fleet: fleet.clone(), outcome };
            self.drained.remove(&labels);
        }
        for reason in DrainReason::ALL.map(DrainReason::as_str) {
            let labels = FleetDrains { namespace: namespace.clone(), fleet: fleet.clone(), reason };
            self.drains.remove(&labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn record() -> DrainRecord {
        let at = |second| Time(jiff::Timestamp::from_second(second).unwrap());
        DrainRecord {
            pod: "chat-a".into(),
            uid: "u".into(),
            reason: DrainReason::Rollout,
            started_at: at(0),
            ended_at: at(16),
            moved: 800,
            cut: 0,
            recovered: 799,
            reconnect_p50_ms: Some(400),
            reconnect_p99_ms: Some(2_100),
            settled: true,
        }
    }

    #[tokio::test]
    async fn a_fleet_that_is_gone_leaves_the_metrics() {
        let metrics = Metrics::default();
        metrics.fleet("default", "chat", FleetNumbers { open_sockets: 7, ..FleetNumbers::default() });
        let text = metrics.text().await;
        assert!(
            text.contains("socketfleet_fleet_open_sockets{namespace=\"default\",fleet=\"chat\"} 7"),
            "{text}"
        );
        assert!(text.contains("socketfleet_wrong_victims_total 0"), "{text}");
        metrics.drained("default", "chat", &record());
        let text = metrics.text().await;
        for line in [
            "socketfleet_fleet_drained_sockets_total{namespace=\"default\",fleet=\"chat\",outcome=\"recovered\"} 799",
            "socketfleet_fleet_drain_duration_seconds_sum{namespace=\"default\",fleet=\"chat\",reason=\"Rollout\"} 16.0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        metrics.forget_fleet("default", "chat");
        assert!(!metrics.text().await.contains("chat"));
    }

    #[tokio::test]
    async fn rules_and_dashboard_name_metrics_that_are_served() {
        let (metrics, counts) = (Metrics::default(), crate::open_sockets::OpenSockets::new());
        metrics.register(|registry| registry.register_collector(Box::new(counts.clone()))).await;
        // With labels: they come with the first use.
        metrics.fleet("default", "chat", FleetNumbers::default());
        metrics.reconciled(Duration::ZERO, Some("apply"));
        metrics.wrote(Kind::Service, "apply");
        metrics.drained("default", "chat", &record());
        let text = metrics.text().await;
        // A gauge may have no sample yet: fleets that are counted.
        let gauge = |line: &'_ str| line.strip_prefix("# TYPE ")?.strip_suffix(" gauge").map(str::to_owned);
        let sample = |line: &'_ str| line.split([' ', '{']).next().map(str::to_owned);
        let served: Vec<String> =
            text.lines().filter_map(|line| gauge(line).or_else(|| sample(line))).collect();
        let config = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
        // A label of PodMonitors, and the server's, which its own tests look after.
        let is_ours = |name: &str| {
            ["socketfleet_operator_", "socketfleet_fleet_", "socketfleet_wrong_"]
                .iter()
                .any(|p| name.starts_with(p))
        };
        for file in ["prometheus/rules.yaml", "grafana/socketfleet.json"] {
            let text = std::fs::read_to_string(config.join(file)).unwrap();
            let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
            let mut ours = words.filter(|word| is_ours(word)).peekable();
            assert!(ours.peek().is_some(), "{file} names no metric of the operator");
            for name in ours {
                assert!(
                    served.iter().any(|s| s == name),
                    "{file} asks for {name}, which is not among {served:?}"
                );
            }
        }
    }
}

//! What the operator writes on a Pod: the traffic label, the deletion cost, the state of its drain.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use socketfleet_api::contract::{DrainReason, PodDrainPhase, Traffic, labels};

/// The operator's marks on a Pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marks {
    /// Label: whether new sockets are sent to it. `None` where it is missing or not ours.
    pub traffic: Option<Traffic>,
    /// Annotation: the ReplicaSet deletes the lowest first.
    pub deletion_cost: Option<i32>,
    /// Annotations: its drain, absent on a pod that serves.
    pub drain: Option<DrainMark>,
}

/// State of a drain, as it stands on the Pod.
#[derive(Clone, Debug, PartialEq)]
pub struct DrainMark {
    /// How far it is.
    pub phase: PodDrainPhase,
    /// Since when.
    pub since: Timestamp,
    /// When the drain began.
    pub started: Timestamp,
    /// When what is left is closed; never moved.
    pub deadline: Timestamp,
    /// What it drains for.
    pub reason: DrainReason,
    /// Why this pod and not another, for people.
    pub why: String,
    /// Open sockets when the drain began; `None` when they were not known.
    pub sockets: Option<u64>,
}

impl Marks {
    /// Reads them from a Pod's metadata. Values that are not ours count as missing: they are written anew.
    pub fn read(labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>) -> Self {
        Self {
            traffic: labels.get(labels::TRAFFIC).and_then(|v| Traffic::parse(v)),
            deletion_cost: annotations.get(labels::POD_DELETION_COST).and_then(|v| v.parse().ok()),
            drain: DrainMark::read(annotations),
        }
    }

    /// The merge patch of a Pod's metadata that brings them about: what is absent here is removed there.
    pub fn patch(&self) -> Value {
        let Self { traffic, deletion_cost, drain } = self;
        let drain = drain.as_ref();
        json!({
            "labels": { labels::TRAFFIC: traffic.map(Traffic::as_str) },
            "annotations": {
                labels::POD_DELETION_COST: deletion_cost.map(|c| c.to_string()),
                labels::DRAIN_PHASE: drain.map(|d| d.phase.as_str()),
                labels::DRAIN_PHASE_SINCE: drain.map(|d| d.since.to_string()),
                labels::DRAIN_STARTED: drain.map(|d| d.started.to_string()),
                labels::DRAIN_DEADLINE: drain.map(|d| d.deadline.to_string()),
                labels::DRAIN_REASON: drain.map(|d| d.reason.as_str()),
                labels::DRAIN_WHY: drain.map(|d| d.why.as_str()),
                labels::DRAIN_SOCKETS: drain.and_then(|d| d.sockets).map(|n| n.to_string()),
            },
        })
    }
}

impl DrainMark {
    /// A drain without a phase, start, deadline or reason that can be read is none: it begins anew.
    fn read(annotations: &BTreeMap<String, String>) -> Option<Self> {
        let get = |key| annotations.get(key).map(String::as_str);
        let time = |key| get(key).and_then(|v| v.parse::<Timestamp>().ok());
        let started = time(labels::DRAIN_STARTED)?;
        Some(Self {
            phase: get(labels::DRAIN_PHASE).and_then(PodDrainPhase::parse)?,
            since: time(labels::DRAIN_PHASE_SINCE).unwrap_or(started),
            started,
            deadline: time(labels::DRAIN_DEADLINE)?,
            reason: get(labels::DRAIN_REASON).and_then(DrainReason::parse)?,
            why: get(labels::DRAIN_WHY).unwrap_or_default().to_owned(),
            sockets: get(labels::DRAIN_SOCKETS).and_then(|v| v.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(patch: &Value, field: &str) -> BTreeMap<String, String> {
        let Value::Object(map) = &patch[field] else { panic!("{field} of {patch}") };
        map.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let started: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let marks = Marks {
            traffic: Some(Traffic::Drain),
            deletion_cost: Some(i32::MIN),
            drain: Some(DrainMark {
                phase: PodDrainPhase::Draining,
                since: started,
                started,
                deadline: "2026-01-02T03:09:05Z".parse().unwrap(),
                reason: DrainReason::ScaleIn,
                why: "fewest sockets".into(),
                sockets: Some(17),
            }),
        };
        let patch = marks.patch();
        assert_eq!(Marks::read(&strings(&patch, "labels"), &strings(&patch, "annotations")), marks);
    }

    #[test]
    fn what_is_absent_is_removed() {
        let patch = Marks { traffic: Some(Traffic::Accept), ..Marks::default() }.patch();
        assert_eq!(patch["labels"][labels::TRAFFIC], "accept");
        assert!(patch["annotations"].as_object().unwrap().values().all(Value::is_null));
    }

    #[test]
    fn values_of_others_count_as_missing() {
        let label = BTreeMap::from([(labels::TRAFFIC.to_owned(), "yes".to_owned())]);
        let annotation = BTreeMap::from([
            (labels::POD_DELETION_COST.to_owned(), "cheap".to_owned()),
            (labels::DRAIN_PHASE.to_owned(), "Draining".to_owned()),
        ]);
        assert_eq!(Marks::read(&label, &annotation), Marks::default());
    }
}

//! Pure: a fleet as the drain machine looks at it.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::Value;
use socketfleet_api::contract::labels;
use socketfleet_api::fleet::DeletionPolicy;

use super::memory::Scaled;
use super::names::SERVER;
use super::observe::Observed;
use super::validate::ValidatedFleet;
use crate::drain::{self, Deletion, Policy, Revision, Rollout};
use crate::kinds::Kind;
use crate::open_sockets::FleetCounts;

/// The fleet as the drain machine looks at it. `revision` is the one that its spec makes; [`judge`](super::judge) says
/// afterwards whether its rollout has failed.
pub fn view(
    fleet: &ValidatedFleet,
    observed: &Observed,
    revision: &str,
    counts: &FleetCounts,
    node: impl Fn(&str) -> Option<Arc<Node>>,
    last_scaled: impl Fn(&str) -> Option<Scaled>,
    now: Timestamp,
) -> drain::Observed {
    let deployments = observed.live.iter().filter(|((kind, _), _)| *kind == Kind::Deployment);
    let mut revisions: Vec<_> =
        deployments.filter_map(|((_, name), live)| deployment(live, last_scaled(name))).collect();
    if !revisions.iter().any(|r| r.hash == revision) {
        revisions.push(Revision {
            hash: revision.to_owned(),
            created: None,
            replicas: 0,
            status_replicas: 0,
            status_ready: 0,
            settled: false,
            resource_version: String::new(),
        });
    }
    let servers =
        observed.pods.iter().filter(|p| p.labels().get(labels::COMPONENT).is_some_and(|c| c == SERVER));
    let pods: Vec<_> = servers
        .filter_map(|pod| {
            let node = pod.spec.as_ref().and_then(|spec| node(spec.node_name.as_deref()?));
            let seen = drain::observe::pod(pod, node.as_deref(), &fleet.spec.pod.tolerations)?;
            Some(match counts.pods.get(&seen.id.uid) {
                Some(count) => drain::observe::with_count(seen, count, now),
                None => seen,
            })
        })
        .collect();
    let spec = &fleet.spec;
    let desired = fleet.wanted_replicas();
    drain::Observed {
        fleet: drain::Fleet {
            desired,
            floor: spec.autoscaling.as_ref().map_or(0, |a| unsigned(a.min_replicas)),
            paused: spec.paused,
            deletion: observed.fleet.metadata.deletion_timestamp.as_ref().map(|_| {
                match spec.deletion_policy {
                    DeletionPolicy::Drain => Deletion::Drain,
                    DeletionPolicy::Immediate => Deletion::Immediate,
                }
            }),
            revision: revision.to_owned(),
            policy: Policy {
                deadline: SignedDuration::from_secs(spec.drain.deadline_seconds.into()),
                reconnects_per_second: spec.drain.reconnects_per_second.map(f64::from),
                headroom: f64::from(spec.drain.headroom_percent) / 100.0,
            },
            rollout: Rollout {
                max_surge: share(&spec.rollout.max_surge, desired).max(1),
                paused: spec.rollout.paused,
                partition: partition(&spec.rollout.partition, desired),
                failed: false,
            },
        },
        revisions,
        pods,
    }
}

/// A Deployment as it is, or as it was last written while the cache does not show that yet.
fn deployment(live: &DynamicObject, written: Option<Scaled>) -> Option<Revision> {
    if live.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let number = |path| {
        live.data.pointer(path).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
    };
    let generation = live.metadata.generation.unwrap_or_default();
    let newer = written.filter(|written| written.generation > generation);
    let seen = live.data.pointer("/status/observedGeneration").and_then(Value::as_i64);
    Some(Revision {
        hash: live.labels().get(labels::REVISION)?.clone(),
        created: live.metadata.creation_timestamp.as_ref().map(|t| t.0),
        replicas: newer.map_or_else(|| number("/spec/replicas"), |written| written.replicas),
        status_replicas: number("/status/replicas"),
        status_ready: number("/status/readyReplicas"),
        settled: newer.is_none() && seen == Some(generation),
        resource_version: live.resource_version().unwrap_or_default(),
    })
}

/// A condition of a live object.
pub(super) fn condition<'a>(data: &'a Value, kind: &str) -> Option<&'a Value> {
    data.pointer("/status/conditions")?.as_array()?.iter().find(|c| c["type"] == kind)
}

/// A number, or a percentage of `whole` rounded up.
fn share(wanted: &IntOrString, whole: u32) -> u32 {
    match wanted {
        IntOrString::Int(number) => unsigned(*number),
        IntOrString::String(text) => {
            let percent: u64 = text.trim_end_matches('%').parse().unwrap_or(0);
            u32::try_from((u64::from(whole) * percent).div_ceil(100)).unwrap_or(u32::MAX)
        }
    }
}

/// Pods that the old revision keeps. A percentage below 100 leaves one to the new revision, however small the fleet.
fn partition(wanted: &IntOrString, whole: u32) -> u32 {
    let share = share(wanted, whole);
    match wanted {
        IntOrString::String(text) if text != "100%" => share.min(whole.saturating_sub(1)),
        IntOrString::String(_) | IntOrString::Int(_) => share,
    }
}

fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up() {
        assert_eq!(share(&IntOrString::String("25%".into()), 3), 1);
        assert_eq!(share(&IntOrString::String("25%".into()), 8), 2);
        assert_eq!(share(&IntOrString::Int(4), 3), 4);
    }

    #[test]
    fn a_canary_has_a_pod_in_any_fleet() {
        let percent = |text: &str, whole| partition(&IntOrString::String(text.into()), whole);
        assert_eq!((percent("90%", 20), percent("90%", 3), percent("90%", 1)), (18, 2, 0));
        assert_eq!((percent("100%", 3), percent("0%", 3)), (3, 0));
        assert_eq!(partition(&IntOrString::Int(5), 3), 5);
    }
}

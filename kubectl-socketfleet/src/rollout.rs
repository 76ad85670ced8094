//! `rollout`: what `kubectl rollout` is for Deployments.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use socketfleet_api::SocketFleet;
use socketfleet_api::contract::labels;
use socketfleet_api::fleet::{
    HISTORY_KEY, RevisionRecord, RolloutFailure, SocketFleetStatus, accepted_name, condition, previous,
    read_history,
};

use crate::steer::{self, MANAGER};
use crate::table::{Table, age};

/// Between two looks of `rollout status`.
const LOOK: Duration = Duration::from_secs(2);
/// How often a fleet that others change at the same time is read and written anew.
const TRIES: u32 = 10;
/// The annotation that `kubectl rollout restart` writes, too.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

#[derive(Subcommand)]
pub enum Verb {
    /// Say how far a rollout is, until it is over; fails when the rollout has failed.
    Status {
        /// Name of the fleet.
        fleet: String,
        /// Look once.
        #[arg(long)]
        no_wait: bool,
    },
    /// Show the last revisions and what became of them.
    History {
        /// Name of the fleet.
        fleet: String,
    },
    /// Hold a rollout; scaling goes on.
    Pause {
        /// Name of the fleet.
        fleet: String,
    },
    /// Let a held rollout go on.
    Resume {
        /// Name of the fleet.
        fleet: String,
    },
    /// Give spec.server and spec.pod the values of an earlier revision.
    Undo {
        /// Name of the fleet.
        fleet: String,
        /// A revision of `rollout history`; default: the last that did not fail.
        #[arg(long)]
        to_revision: Option<String>,
    },
    /// Try a failed rollout again as it is.
    Retry {
        /// Name of the fleet.
        fleet: String,
    },
    /// Replace all pods by new ones of the same kind.
    Restart {
        /// Name of the fleet.
        fleet: String,
    },
}

/// Carries a verb out; the text is for people.
pub async fn run(client: &Client, namespace: &str, verb: Verb) -> Result<String> {
    match verb {
        Verb::Status { fleet, no_wait } => status(client, namespace, &fleet, no_wait).await,
        Verb::History { fleet } => Ok(table(&history(client, namespace, &fleet).await?, Timestamp::now())),
        Verb::Pause { fleet } => steer::pause(client, namespace, &fleet, true, true).await,
        Verb::Resume { fleet } => steer::pause(client, namespace, &fleet, true, false).await,
        Verb::Undo { fleet, to_revision } => undo(client, namespace, &fleet, to_revision.as_deref()).await,
        Verb::Retry { fleet } => {
            let at = Timestamp::now().to_string();
            let patch = json!({"metadata": {"annotations": {labels::ROLLOUT_RETRIED: at}}});
            change(client, namespace, &fleet, &Patch::Merge(patch)).await?;
            Ok(format!("rollout of socketfleet {fleet} is tried again"))
        }
        Verb::Restart { fleet } => {
            let at = Timestamp::now().to_string();
            let patch = json!({"spec": {"pod": {"annotations": {RESTARTED_AT: at}}}});
            change(client, namespace, &fleet, &Patch::Merge(patch)).await?;
            Ok(format!(
                "socketfleet {fleet} restarts: follow it with kubectl socketfleet rollout status {fleet}"
            ))
        }
    }
}

async fn change(client: &Client, namespace: &str, fleet: &str, patch: &Patch<Value>) -> Result<()> {
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..Default::default() };
    let api = Api::<SocketFleet>::namespaced(client.clone(), namespace);
    api.patch(fleet, &params, patch).await.with_context(|| place(namespace, fleet))?;
    Ok(())
}

fn place(namespace: &str, fleet: &str) -> String {
    format!("socketfleet {fleet} in namespace {namespace}")
}

async fn history(client: &Client, namespace: &str, fleet: &str) -> Result<Vec<RevisionRecord>> {
    let name = accepted_name(fleet);
    let map = Api::<ConfigMap>::namespaced(client.clone(), namespace)
        .get(&name)
        .await
        .with_context(|| format!("configmap {name} in namespace {namespace}, which holds the history"))?;
    Ok(map.data.unwrap_or_default().get(HISTORY_KEY).map(|text| read_history(text)).unwrap_or_default())
}

fn table(history: &[RevisionRecord], now: Timestamp) -> String {
    let mut table = Table::new(["REVISION", "SINCE", "IMAGE", "STATE"]);
    for (n, record) in history.iter().enumerate() {
        let state = match (&record.failed, n) {
            (Some(verdict), _) => format!("failed: {}", verdict.message),
            (None, 0) => "current".into(),
            (None, _) => String::new(),
        };
        table.row([
            record.revision.clone(),
            age(now.as_second() - record.since.0.as_second()),
            record.server.image.clone().unwrap_or_else(|| "<the operator's>".into()),
            state,
        ]);
    }
    table.render("")
}

async fn undo(client: &Client, namespace: &str, fleet: &str, wanted: Option<&str>) -> Result<String> {
    let history = history(client, namespace, fleet).await?;
    let Some(target) = previous(&history, wanted) else {
        bail!(
            "socketfleet {fleet} has no such earlier revision: see kubectl socketfleet rollout history {fleet}"
        );
    };
    if history.first().is_some_and(|newest| newest.revision == target.revision) {
        bail!("socketfleet {fleet} has revision {} already", target.revision);
    }
    // Whole, since a patch would keep fields that the earlier revision did not have; on the version that was read.
    let api = Api::<SocketFleet>::namespaced(client.clone(), namespace);
    let params = PostParams { field_manager: Some(MANAGER.into()), ..Default::default() };
    let mut tries = 1..=TRIES;
    loop {
        let mut changed = api.get(fleet).await.with_context(|| place(namespace, fleet))?;
        changed.spec.server = target.server.clone();
        changed.spec.pod = target.pod.clone();
        match api.replace(fleet, &params, &changed).await {
            // The status was written, or the number of pods, since it was read.
            Err(kube::Error::Api(status)) if status.is_conflict() && tries.next().is_some() => {}
            replaced => {
                replaced.with_context(|| place(namespace, fleet))?;
                return Ok(format!("socketfleet {fleet} goes back to revision {}", target.revision));
            }
        }
    }
}

async fn status(client: &Client, namespace: &str, name: &str, no_wait: bool) -> Result<String> {
    let api = Api::<SocketFleet>::namespaced(client.clone(), namespace);
    let mut said = String::new();
    loop {
        let fleet = api.get(name).await.with_context(|| place(namespace, name))?;
        match look(&fleet) {
            Look::Failed(why) => bail!("rollout of socketfleet {name} has failed: {why}"),
            Look::Over(text) => return Ok(text),
            Look::UnderWay(text) if no_wait => return Ok(text),
            Look::UnderWay(text) => {
                if text != said {
                    println!("{text}");
                    said = text;
                }
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// How far a rollout is.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    UnderWay(String),
    Over(String),
    Failed(String),
}

fn look(fleet: &SocketFleet) -> Look {
    let name = fleet.name_any();
    let status = fleet.status.clone().unwrap_or_default();
    if status.observed_generation != fleet.metadata.generation {
        return Look::UnderWay("the operator has not yet seen the latest spec".into());
    }
    let SocketFleetStatus { current_revision, revisions, conditions, ready_replicas, .. } = status;
    let progressing = conditions.iter().find(|c| c.type_ == condition::PROGRESSING);
    let reason = progressing.map_or("", |c| c.reason.as_str());
    let message = progressing.map_or_else(String::new, |c| c.message.clone());
    let failures = [RolloutFailure::ProgressDeadlineExceeded, RolloutFailure::ConnectErrors];
    if failures.iter().any(|failure| failure.as_str() == reason) {
        return Look::Failed(message);
    }
    if fleet.spec.paused || fleet.spec.rollout.paused {
        return Look::Over(format!("rollout of socketfleet {name} is paused"));
    }
    if reason == "PartitionReached" {
        return Look::Over(format!("rollout of socketfleet {name} has reached its partition: {message}"));
    }
    let current = current_revision.unwrap_or_default();
    let (new, old): (Vec<_>, Vec<_>) = revisions.iter().partition(|r| r.name == current);
    let (pods, sockets) = old.iter().fold((0, 0), |(p, s), r| (p + r.replicas, s + r.open_sockets));
    let ready: i32 = new.iter().map(|r| r.ready_replicas).sum();
    let wanted = fleet.spec.replicas;
    if pods > 0 {
        Look::UnderWay(format!(
            "revision {current}: {ready} of {wanted} pods are Ready; {pods} old pods hold {sockets} sockets"
        ))
    } else if ready_replicas < wanted {
        Look::UnderWay(format!("revision {current}: {ready} of {wanted} pods are Ready"))
    } else {
        Look::Over(format!("socketfleet {name} runs revision {current}: {ready} pods are Ready"))
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use socketfleet_api::SocketFleetSpec;
    use socketfleet_api::fleet::{PodOptions, RevisionStatus, ServerSpec, Verdict};

    use super::*;

    fn fleet(revisions: &[(&str, i32, i32)], reason: &str) -> SocketFleet {
        let mut fleet = SocketFleet::new("chat", SocketFleetSpec { replicas: 3, ..Default::default() });
        let revisions = revisions.iter().map(|&(name, replicas, ready_replicas)| RevisionStatus {
            name: name.into(),
            replicas,
            ready_replicas,
            open_sockets: 100,
        });
        let condition = json!({"type": "Progressing", "status": "True", "reason": reason, "message": "so it is",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        fleet.status = Some(SocketFleetStatus {
            current_revision: Some("new".into()),
            revisions: revisions.collect(),
            ready_replicas: 3,
            conditions: vec![serde_json::from_value(condition).unwrap()],
            ..Default::default()
        });
        fleet
    }

    #[test]
    fn a_rollout_is_over_when_no_old_pod_is_left() {
        let under_way = look(&fleet(&[("new", 2, 1), ("old", 2, 2)], "RollingOut"));
        let text = "revision new: 1 of 3 pods are Ready; 2 old pods hold 100 sockets";
        assert_eq!(under_way, Look::UnderWay(text.into()));
        assert!(matches!(look(&fleet(&[("new", 3, 3)], "Complete")), Look::Over(_)));
    }

    #[test]
    fn what_failed_is_paused_or_waits_at_its_partition_is_not_waited_for() {
        let pods = [("new", 1, 1), ("old", 2, 2)];
        assert_eq!(look(&fleet(&pods, "ConnectErrors")), Look::Failed("so it is".into()));
        assert!(matches!(look(&fleet(&pods, "PartitionReached")), Look::Over(_)));
        let mut paused = fleet(&pods, "RollingOut");
        paused.spec.rollout.paused = true;
        assert!(matches!(look(&paused), Look::Over(_)));
        let mut unseen = fleet(&[("new", 3, 3)], "Complete");
        unseen.metadata.generation = Some(2);
        assert!(matches!(look(&unseen), Look::UnderWay(_)));
    }

    #[test]
    fn the_history_says_what_failed() {
        let record = |revision: &str, failed| RevisionRecord {
            revision: revision.into(),
            since: Time(Timestamp::UNIX_EPOCH),
            server: ServerSpec { image: Some("chat:2".into()), ..Default::default() },
            pod: PodOptions::default(),
            failed,
        };
        let verdict = Verdict {
            at: Time(Timestamp::UNIX_EPOCH),
            reason: RolloutFailure::ConnectErrors,
            message: "it refuses 40 %".into(),
        };
        let text =
            table(&[record("b", Some(verdict)), record("a", None)], Timestamp::from_second(90).unwrap());
        assert!(text.contains("b          90s     chat:2   failed: it refuses 40 %"), "{text}");
    }
}

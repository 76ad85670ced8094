//! Pure: conditions by the Kubernetes conventions. They are computed anew at each look; transition times come from
//! merging with those that are there.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use socketfleet_api::fleet::{Verdict, condition};

use super::validate::Invalid;
use crate::drain::{Hold, Summary};
use crate::open_sockets::Doubt;

/// Reason of Accepted when something may not do what is expected.
pub const ACCEPTED_WITH_WARNING: &str = "AcceptedWithWarning";
/// Longest message that the API server takes.
const MAX_MESSAGE: usize = 32_768;

/// What conditions are computed from.
pub struct Facts<'a> {
    /// Why the spec is not carried out.
    pub invalid: Option<&'a Invalid>,
    /// What may not do what is expected.
    pub warnings: &'a [String],
    /// Pods that are wanted.
    pub wanted: u32,
    /// What the drain machine says.
    pub summary: &'a Summary,
    /// What is not known of open sockets.
    pub doubt: Option<&'a Doubt>,
    /// The managed Redis: `None` for a fleet without one.
    pub redis_ready: Option<bool>,
    /// The rollout of the current revision has failed.
    pub rollout_failed: Option<&'a Verdict>,
    /// Pods of older revisions are left.
    pub rolling_out: bool,
    /// Pods of older revisions that stay as `spec.rollout.partition` says, once all others have gone.
    pub kept: u32,
    /// Name of the fleet.
    pub fleet: &'a str,
    /// Why the Deployment makes no pods (quota, admission).
    pub replica_failure: Option<String>,
    /// `spec.paused`.
    pub paused: bool,
}

/// Type, status, reason, message.
type Line = (&'static str, bool, &'static str, String);

/// Conditions of these facts, merged with those that are there.
pub fn conditions(
    facts: &Facts<'_>,
    before: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    verdicts(facts)
        .into_iter()
        .map(|(kind, status, reason, message)| {
            let status = if status { "True" } else { "False" };
            let same = before.iter().find(|c| c.type_ == kind && c.status == status);
            Condition {
                type_: kind.into(),
                status: status.into(),
                reason: reason.into(),
                message: shorten(message),
                observed_generation: generation,
                last_transition_time: same.map_or(Time(now), |c| c.last_transition_time.clone()),
            }
        })
        .collect()
}

fn verdicts(facts: &Facts<'_>) -> Vec<Line> {
    vec![
        accepted(facts),
        ready(facts),
        progressing(facts),
        redis(facts),
        metrics(facts),
        draining(facts),
        blocked(facts),
    ]
}

fn accepted(facts: &Facts<'_>) -> Line {
    match facts.invalid {
        None if facts.warnings.is_empty() => {
            (condition::ACCEPTED, true, "Accepted", "the spec is carried out".into())
        }
        None => {
            let message = format!("the spec is carried out, but {}", facts.warnings.join("; "));
            (condition::ACCEPTED, true, ACCEPTED_WITH_WARNING, message)
        }
        Some(invalid) => {
            (condition::ACCEPTED, false, invalid.reason, format!("{invalid}; what runs is left as it is"))
        }
    }
}

fn ready(facts: &Facts<'_>) -> Line {
    let (ready, wanted) = (facts.summary.ready, facts.wanted);
    let message = format!("{ready} of {wanted} wanted pods are Ready");
    match (ready >= wanted, &facts.replica_failure) {
        (true, _) => (condition::READY, true, "EnoughReadyPods", message),
        (false, Some(failure)) => (condition::READY, false, "PodsCannotBeMade", failure.clone()),
        (false, None) => (condition::READY, false, "TooFewReadyPods", message),
    }
}

fn progressing(facts: &Facts<'_>) -> Line {
    let (ready, wanted) = (facts.summary.ready, facts.wanted);
    let verdict =
        |status, reason, message: &str| (condition::PROGRESSING, status, reason, message.to_owned());
    if let Some(Verdict { reason, message, at: _ }) = facts.rollout_failed {
        let fleet = facts.fleet;
        let message = format!(
            "{message}: what ran before serves on; correct spec.server or spec.pod, or use kubectl socketfleet rollout undo \
             {fleet}, or rollout retry {fleet}"
        );
        verdict(false, reason.as_str(), &message)
    } else if facts.paused {
        verdict(false, "Paused", "the fleet is paused: set spec.paused to false to go on")
    } else if facts.kept > 0 {
        let message =
            format!("{} pods stay with the old revision: lower spec.rollout.partition to go on", facts.kept);
        verdict(true, "PartitionReached", &message)
    } else if facts.rolling_out {
        verdict(true, "RollingOut", "a new revision takes over")
    } else if ready < wanted {
        verdict(true, "ScalingOut", "pods are being added")
    } else if !facts.summary.drains.is_empty() {
        verdict(true, "Draining", "pods are being emptied")
    } else {
        verdict(false, "Complete", "all that is wanted is there")
    }
}

fn redis(facts: &Facts<'_>) -> Line {
    let verdict =
        |status, reason, message: &str| (condition::REDIS_READY, status, reason, message.to_owned());
    match facts.redis_ready {
        None => verdict(true, "NotManaged", "the operator runs no Redis for this fleet"),
        Some(true) => verdict(true, "Ready", "Redis is Ready"),
        Some(false) => verdict(
            false,
            "NotReady",
            "Redis is not Ready: rooms reach the sockets of one pod only until it is",
        ),
    }
}

fn metrics(facts: &Facts<'_>) -> Line {
    match facts.doubt {
        None => (condition::METRICS_AVAILABLE, true, "Known", "open sockets are known for all pods".into()),
        Some(doubt) => (condition::METRICS_AVAILABLE, false, doubt.reason(), doubt.to_string()),
    }
}

fn draining(facts: &Facts<'_>) -> Line {
    match facts.summary.drains.len() {
        0 => (condition::DRAINING, false, "NoDrain", "no pod is being emptied".into()),
        1 => (condition::DRAINING, true, "PodsDrain", "1 pod is being emptied".into()),
        n => (condition::DRAINING, true, "PodsDrain", format!("{n} pods are being emptied")),
    }
}

fn blocked(facts: &Facts<'_>) -> Line {
    match facts.summary.holds.first() {
        None => (condition::DRAIN_BLOCKED, false, "NotBlocked", "nothing waits".into()),
        Some(hold) => (condition::DRAIN_BLOCKED, true, reason(hold), hold.to_string()),
    }
}

fn reason(hold: &Hold) -> &'static str {
    match hold {
        Hold::Paused => "Paused",
        Hold::RevisionNotReady { .. } => "RevisionNotReady",
        Hold::CountsUnknown { .. } => "CountsUnknown",
        Hold::NoRoom { .. } => "NoRoom",
        Hold::TooFewReady { .. } => "TooFewReady",
        Hold::Budget { .. } => "Budget",
        Hold::Full => "Full",
        Hold::Unsafe { .. } => "Unsafe",
    }
}

fn shorten(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        let end = message.floor_char_boundary(MAX_MESSAGE - 4);
        message.truncate(end);
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use socketfleet_api::fleet::RolloutFailure;

    use super::*;

    fn facts(summary: &Summary) -> Facts<'_> {
        Facts {
            invalid: None,
            warnings: &[],
            wanted: 2,
            summary,
            doubt: None,
            redis_ready: Some(true),
            rollout_failed: None,
            rolling_out: false,
            kept: 0,
            fleet: "chat",
            replica_failure: None,
            paused: false,
        }
    }

    fn find<'a>(all: &'a [Condition], kind: &str) -> &'a Condition {
        all.iter().find(|c| c.type_ == kind).unwrap()
    }

    #[test]
    fn a_transition_time_changes_with_the_status_only() {
        let (start, later) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(60).unwrap());
        let short = Summary { ready: 1, ..Summary::default() };
        let before = conditions(&facts(&short), &[], Some(1), start);
        assert_eq!(find(&before, "Ready").status, "False");

        let shorter = Summary { ready: 0, ..Summary::default() };
        let after = conditions(&facts(&shorter), &before, Some(2), later);
        assert_eq!(find(&after, "Ready").message, "0 of 2 wanted pods are Ready");
        assert_eq!(find(&after, "Ready").last_transition_time.0, start);
        assert_eq!(find(&after, "Ready").observed_generation, Some(2));

        let enough = Summary { ready: 2, ..Summary::default() };
        let done = conditions(&facts(&enough), &after, Some(2), later);
        assert_eq!(find(&done, "Ready").last_transition_time.0, later);
        assert_eq!(find(&done, "Progressing").reason, "Complete");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let summary = Summary { ready: 2, holds: vec![Hold::Full], ..Summary::default() };
        let invalid = Invalid { reason: "SecretNotFound", messages: vec!["create it".into()] };
        let (at, message) = (Time(Timestamp::UNIX_EPOCH), "no pod was Ready".into());
        let verdict = Verdict { at, reason: RolloutFailure::ProgressDeadlineExceeded, message };
        let all = conditions(
            &Facts { invalid: Some(&invalid), rollout_failed: Some(&verdict), ..facts(&summary) },
            &[],
            None,
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(find(&all, "Accepted").reason, "SecretNotFound");
        assert!(find(&all, "Accepted").message.starts_with("create it"));
        assert_eq!(find(&all, "Progressing").reason, "ProgressDeadlineExceeded");
        assert!(find(&all, "Progressing").message.contains("rollout undo chat"));
        assert_eq!(find(&all, "DrainBlocked").reason, "Full");
    }

    #[test]
    fn a_warning_does_not_stop_the_spec_from_being_carried_out() {
        let (summary, warnings) = (Summary::default(), ["it is long".to_owned()]);
        let facts = Facts { warnings: &warnings, ..facts(&summary) };
        let all = conditions(&facts, &[], None, Timestamp::UNIX_EPOCH);
        let accepted = find(&all, "Accepted");
        assert_eq!((&*accepted.status, &*accepted.reason), ("True", ACCEPTED_WITH_WARNING));
        assert!(accepted.message.ends_with("but it is long"));
    }

    #[test]
    fn a_long_message_is_shortened_between_characters() {
        let text = shorten("ü".repeat(40_000));
        assert!(text.len() <= MAX_MESSAGE && text.ends_with('…'));
    }
}

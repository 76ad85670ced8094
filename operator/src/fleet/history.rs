//! Pure: the revisions that a fleet's spec has made, newest attempt first, with what became of them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::DynamicObject;
use socketfleet_api::SocketFleetSpec;
use socketfleet_api::fleet::{HISTORY_KEY, RevisionRecord, read_history};

/// Revisions that are remembered.
const REMEMBERED: usize = 10;

/// The history that a fleet's ConfigMap holds.
pub fn read(config_map: &DynamicObject) -> Vec<RevisionRecord> {
    let text = config_map.data.pointer(&format!("/data/{HISTORY_KEY}")).and_then(|v| v.as_str());
    text.map(read_history).unwrap_or_default()
}

/// The history once the spec makes this revision. A revision that comes back is a new attempt: what was said of the last
/// one is forgotten.
pub fn advance(
    mut history: Vec<RevisionRecord>,
    revision: &str,
    spec: &SocketFleetSpec,
    now: Timestamp,
) -> Vec<RevisionRecord> {
    if history.first().is_none_or(|newest| newest.revision != revision) {
        history.retain(|record| record.revision != revision);
        history.insert(
            0,
            RevisionRecord {
                revision: revision.to_owned(),
                since: Time(now),
                server: spec.server.clone(),
                pod: spec.pod.clone(),
                failed: None,
            },
        );
        history.truncate(REMEMBERED);
    }
    history
}

#[cfg(test)]
mod tests {
    use socketfleet_api::fleet::{RolloutFailure, Verdict, previous};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn after(revisions: &[&str]) -> Vec<RevisionRecord> {
        let spec = SocketFleetSpec::default();
        (0..)
            .zip(revisions)
            .fold(Vec::new(), |history, (second, revision)| advance(history, revision, &spec, at(second)))
    }

    fn names(history: &[RevisionRecord]) -> Vec<&str> {
        history.iter().map(|r| r.revision.as_str()).collect()
    }

    #[test]
    fn the_newest_attempt_comes_first_and_ten_are_kept() {
        assert_eq!(names(&after(&["a", "b", "b", "a"])), ["a", "b"]);
        let many: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(names(&after(&many)).len(), REMEMBERED);
    }

    #[test]
    fn a_look_changes_nothing() {
        let history = after(&["a", "b"]);
        let again = advance(history.clone(), "b", &SocketFleetSpec::default(), at(99));
        assert_eq!(again, history);
    }

    #[test]
    fn undone_is_to_the_last_that_did_not_fail_and_a_new_attempt_is_judged_anew() {
        let mut history = after(&["a", "b", "c"]);
        let verdict =
            |n| Verdict { at: Time(at(n)), reason: RolloutFailure::ConnectErrors, message: "x".into() };
        history[1].failed = Some(verdict(5));
        assert_eq!(previous(&history, None).unwrap().revision, "a");
        assert_eq!(previous(&history, Some("b")).unwrap().revision, "b");
        let history = advance(history, "b", &SocketFleetSpec::default(), at(9));
        assert_eq!(history[0].failed, None);
    }
}

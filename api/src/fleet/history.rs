//! What a fleet's revisions were made of, so that a rollout can be judged once and undone later.
//!
//! The operator writes it into the ConfigMap [`accepted_name`] under [`HISTORY_KEY`].

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

use super::{PodOptions, ServerSpec};

/// Key of the history, a JSON array of [`RevisionRecord`]s, newest attempt first.
pub const HISTORY_KEY: &str = "history.json";

/// Name of the ConfigMap with what was last carried out of a fleet, its history included.
pub fn accepted_name(fleet: &str) -> String {
    format!("{fleet}-accepted")
}

/// A revision that the spec has made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionRecord {
    /// Hash of its pod template.
    pub revision: String,
    /// Since when the spec made it, the last time that it did.
    pub since: Time,
    /// `spec.server` then.
    pub server: ServerSpec,
    /// `spec.pod` then.
    pub pod: PodOptions,
    /// Why its rollout was given up; absent unless it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Verdict>,
}

/// A rollout was judged failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// When.
    pub at: Time,
    /// Why, for programs: the reason of the condition.
    pub reason: RolloutFailure,
    /// Why, for people.
    pub message: String,
}

/// Why a rollout is judged failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RolloutFailure {
    /// No pod of the new revision was Ready for `spec.rollout.progressDeadlineSeconds`.
    ProgressDeadlineExceeded,
    /// Its servers refuse more clients than the old revision's.
    ConnectErrors,
}

impl RolloutFailure {
    /// Reason of the condition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProgressDeadlineExceeded => "ProgressDeadlineExceeded",
            Self::ConnectErrors => "ConnectErrors",
        }
    }
}

/// Reads a history; one that cannot be read counts as empty.
pub fn read_history(json: &str) -> Vec<RevisionRecord> {
    serde_json::from_str(json).unwrap_or_default()
}

/// What a rollout is undone to: this revision, or without one the last before the newest that has not
/// failed.
pub fn previous<'a>(history: &'a [RevisionRecord], wanted: Option<&str>) -> Option<&'a RevisionRecord> {
    match wanted {
        Some(revision) => history.iter().find(|r| r.revision == revision),
        None => history.iter().skip(1).find(|r| r.failed.is_none()),
    }
}

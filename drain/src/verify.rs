//! Whether the pods that went were the ones that were meant to.

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use socketfleet_api::contract::PodDrainPhase;

use super::{Observed, Pod, PodPhase, Shrink};

/// What looks like a mistake for longer than this is one, and not a matter of what was observed first.
const SURE: SignedDuration = SignedDuration::from_secs(5);

/// Remembers, for one fleet, which pods were to go, until they have gone.
#[derive(Debug, Default)]
pub struct Verifier {
    expected: HashMap<String, Expected>,
}

#[derive(Debug)]
struct Expected {
    victims: BTreeSet<String>,
    /// Pods of the same revision that were to stay: not emptied either.
    others: BTreeSet<String>,
    /// Since when it looks as if another pod went.
    suspect_since: Option<Timestamp>,
}

/// A ReplicaSet deleted another pod than one that was emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongVictims {
    /// The revision.
    pub revision: String,
    /// UIDs of pods that were to go and are still there.
    pub spared: Vec<String>,
    /// UIDs of pods that were to stay and are gone.
    pub gone: Vec<String>,
}

impl Verifier {
    /// Notes a Deployment that was just made smaller.
    pub fn expect(&mut self, observed: &Observed, shrink: &Shrink) {
        let victims: BTreeSet<_> = shrink.victims.iter().cloned().collect();
        let stays = |p: &&Pod| p.revision == shrink.revision && counts(p) && !emptied(p);
        let others = observed.pods.iter().filter(stays);
        let others = others.map(|p| p.id.uid.clone()).filter(|uid| !victims.contains(uid)).collect();
        self.expected.insert(shrink.revision.clone(), Expected { victims, others, suspect_since: None });
    }

    /// Looks who has gone. Each mistake is returned once. A pod that somebody else deletes in the very
    /// moment of a shrink cannot be told from one that its ReplicaSet chose.
    pub fn check(&mut self, observed: &Observed, now: Timestamp) -> Vec<WrongVictims> {
        let mut wrong = Vec::new();
        self.expected.retain(|hash, expected| {
            let of_revision = |p: &&Pod| p.revision == *hash && counts(p);
            let there: BTreeSet<&str> =
                observed.pods.iter().filter(of_revision).map(|p| p.id.uid.as_str()).collect();
            // One that has been emptied meanwhile is as good a choice.
            for pod in observed.pods.iter().filter(|p| emptied(p)) {
                expected.others.remove(&pod.id.uid);
            }
            let is_there = |uid: &&String| there.contains(uid.as_str());
            let spared: Vec<_> = expected.victims.iter().filter(is_there).cloned().collect();
            if spared.is_empty() {
                return false;
            }
            let gone: Vec<_> = expected.others.iter().filter(|uid| !is_there(uid)).cloned().collect();
            // The controller has made its choice once there are as many pods as replicas.
            let revision = observed.revisions.iter().find(|r| r.hash == *hash);
            let chosen = revision.is_none_or(|r| r.settled && there.len() <= r.replicas as usize);
            if !chosen || gone.is_empty() {
                expected.suspect_since = None;
                return true;
            }
            if now.duration_since(*expected.suspect_since.get_or_insert(now)) < SURE {
                return true;
            }
            wrong.push(WrongVictims { revision: hash.clone(), spared, gone });
            false
        });
        wrong
    }
}

fn emptied(pod: &Pod) -> bool {
    pod.marks.drain.as_ref().is_some_and(|d| d.phase == PodDrainPhase::Empty)
}

fn counts(pod: &Pod) -> bool {
    pod.deleting.is_none() && pod.phase != PodPhase::Ended
}

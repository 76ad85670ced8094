//! Whether the pods that went were the ones that were meant to.

use std::collections::{BTreeSet, HashMap};

use super::{Observed, Pod, PodPhase, Shrink};

/// Remembers, for one fleet, which pods were to go, until they have gone.
#[derive(Debug, Default)]
pub struct Verifier {
    expected: HashMap<String, Expected>,
}

#[derive(Debug)]
struct Expected {
    victims: BTreeSet<String>,
    /// Pods of the same revision that were to stay.
    others: BTreeSet<String>,
}

/// A ReplicaSet deleted another pod than the one that was emptied for it.
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
        let others = observed.pods.iter().filter(|p| p.revision == shrink.revision && counts(p));
        let others = others.map(|p| p.id.uid.clone()).filter(|uid| !victims.contains(uid)).collect();
        self.expected.insert(shrink.revision.clone(), Expected { victims, others });
    }

    /// Looks who has gone. Each mistake is returned once.
    pub fn check(&mut self, observed: &Observed) -> Vec<WrongVictims> {
        let mut wrong = Vec::new();
        self.expected.retain(|hash, expected| {
            let there: BTreeSet<&str> = observed
                .pods
                .iter()
                .filter(|p| p.revision == *hash && counts(p))
                .map(|p| p.id.uid.as_str())
                .collect();
            let spared: Vec<_> = expected.victims.iter().filter(|u| there.contains(u.as_str())).collect();
            if spared.is_empty() {
                return false;
            }
            // The controller has made its choice once there are as many pods as replicas.
            let revision = observed.revisions.iter().find(|r| r.hash == *hash);
            let chosen = revision.is_none_or(|r| r.settled && there.len() <= r.replicas as usize);
            let gone: Vec<_> = expected.others.iter().filter(|u| !there.contains(u.as_str())).collect();
            if !chosen || gone.is_empty() {
                return !chosen;
            }
            let own = |uids: Vec<&String>| uids.into_iter().cloned().collect();
            wrong.push(WrongVictims { revision: hash.clone(), spared: own(spared), gone: own(gone) });
            false
        });
        wrong
    }
}

fn counts(pod: &Pod) -> bool {
    pod.deleting.is_none() && pod.phase != PodPhase::Ended
}

//! The operator as the cluster sees it: looks, decides with the real machine, acts; sometimes late, on old
//! observations, or with lost answers.

use std::collections::HashMap;

use socketfleet_drain::{
    Decision, Memory, Note, Observed, Revision, Step, Verifier, WrongVictims, next_actions,
};

use crate::cluster::Cluster;

/// One run of the operator, from its start to its end.
#[derive(Default)]
pub struct Operator {
    memory: Memory,
    verifier: Verifier,
    /// What was applied last to each Deployment, and its version then.
    applied: HashMap<String, (u32, u64)>,
}

/// How reliable the network is, in per cent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network {
    /// Requests that do not arrive.
    pub lost_requests: u8,
    /// Answers that do not arrive.
    pub lost_answers: u8,
}

/// What came of a look.
pub struct Done {
    pub decision: Decision,
    pub notes: Vec<Note>,
    pub wrong: Vec<WrongVictims>,
}

impl Operator {
    /// Decides on an observation, and acts. With `give_up_after` it ends in the middle of its actions.
    pub fn reconcile(
        &mut self,
        cluster: &mut Cluster,
        mut observed: Observed,
        network: Network,
        give_up_after: Option<usize>,
    ) -> Done {
        let current = &observed.fleet.revision;
        if !observed.revisions.iter().any(|r| r.hash == *current) {
            observed.revisions.push(unborn(current));
        }
        for revision in &mut observed.revisions {
            if let Some((replicas, version)) = self.applied.get(&revision.hash)
                && revision.resource_version.parse().unwrap_or(0) < *version
            {
                revision.replicas = *replicas;
                revision.settled = false;
            }
        }
        self.memory.recall(&mut observed, cluster.timestamp());
        let wrong = self.verifier.check(&observed, cluster.timestamp());
        let decision = next_actions(&observed, cluster.timestamp());
        let mut left = give_up_after.unwrap_or(usize::MAX);
        self.apply(cluster, &observed, &decision, network, &mut left);
        let notes = self.act(cluster, &decision, network, &mut left);
        Done { decision, notes, wrong }
    }

    fn apply(
        &mut self,
        cluster: &mut Cluster,
        observed: &Observed,
        decision: &Decision,
        network: Network,
        left: &mut usize,
    ) {
        for revision in &observed.revisions {
            let Some(&replicas) = decision.replicas.get(&revision.hash) else { continue };
            if revision.created.is_some() && revision.replicas == replicas {
                continue;
            }
            if revision.created.is_none() && replicas == 0 && revision.hash != observed.fleet.revision {
                continue;
            }
            if *left == 0 || chance(cluster, network.lost_requests) {
                return;
            }
            *left -= 1;
            let shrink = decision.shrinks.iter().find(|s| s.revision == revision.hash);
            let precondition = shrink.map(|s| s.resource_version.as_str());
            if let Ok(version) = cluster.scale(&revision.hash, replicas, precondition) {
                if let Some(shrink) = shrink {
                    self.verifier.expect(observed, shrink);
                }
                self.applied.insert(revision.hash.clone(), (replicas, version.parse().unwrap_or(0)));
            }
        }
    }

    fn act(
        &mut self,
        cluster: &mut Cluster,
        decision: &Decision,
        network: Network,
        left: &mut usize,
    ) -> Vec<Note> {
        let mut notes = Vec::new();
        for action in &decision.actions {
            if *left == 0 {
                break;
            }
            *left -= 1;
            if chance(cluster, network.lost_requests) {
                continue;
            }
            let (uid, at) = (&action.pod.uid, cluster.timestamp());
            let answered = !chance(cluster, network.lost_answers);
            match &action.step {
                Step::Mark { to, note } => {
                    let done = cluster.patch(&action.pod, to.clone());
                    match done {
                        _ if !answered => self.memory.maybe_patched(&action.pod, at, to.clone()),
                        Ok(version) => {
                            self.memory.patched(uid, at, to.clone(), version);
                            notes.extend(note.clone());
                        }
                        Err(_) => {}
                    }
                }
                Step::Replace => {
                    if let Some(i) = cluster.find(uid) {
                        cluster.delete(i);
                    }
                }
                Step::Tell(_) | Step::TakeBack => {
                    let now = cluster.now;
                    let Some(server) = cluster.find(uid).map(|i| &mut cluster.servers[i]) else { continue };
                    if !server.runs(now) || now < server.silent_until {
                        continue;
                    }
                    let (report, pace) = match &action.step {
                        Step::Tell(request) => (server.told(request), request.reconnects_per_second),
                        _ => (server.taken_back(), None),
                    };
                    if answered {
                        self.memory.answered(uid, at, report);
                    } else {
                        self.memory.unsure(uid, at, pace);
                    }
                }
            }
        }
        notes
    }
}

fn chance(cluster: &mut Cluster, percent: u8) -> bool {
    percent > 0 && cluster.rng.u8(0..100) < percent
}

fn unborn(hash: &str) -> Revision {
    Revision {
        hash: hash.to_owned(),
        created: None,
        replicas: 0,
        status_replicas: 0,
        status_ready: 0,
        settled: true,
        resource_version: String::new(),
    }
}

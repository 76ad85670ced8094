//! Random histories: load, scaling, rollouts, failures and restarts in any order, then peace, in which the
//! fleet has to come to rest.

use jiff::SignedDuration;
use socketfleet_api::contract::{DrainReason, Traffic};
use socketfleet_drain::{Fleet, Observed, Policy, Rollout, WrongVictims};

use crate::cluster::{Cluster, Settings};
use crate::operator::{Network, Operator};
use crate::server::Millis;

/// Virtual time in which things happen.
const UNREST: Millis = 75_000;
/// Virtual time within which the fleet comes to rest afterwards.
const PEACE: Millis = 600_000;
/// How long nothing must change for the fleet to be at rest.
const REST: Millis = 15_000;
/// A failure may cost a Ready pod for this long: noticed, replaced, started.
const REPAIR: Millis = 70_000;
/// Observations that the operator may still be looking at.
const REMEMBERED: usize = 5;

/// What a history was like.
#[derive(Clone, Debug, Default)]
pub struct Story {
    pub drains: u32,
    pub cancelled: u32,
    pub forced: u64,
    pub moved: u64,
    pub restarts: u32,
    pub rest_after: Millis,
    /// It came to rest with pods of two revisions.
    pub canary: bool,
}

/// One history; an error says what must not happen and did.
pub fn history(seed: u64) -> Result<Story, String> {
    History::new(seed).run().map_err(|what| format!("seed {seed}: {what}"))
}

struct History {
    rng: fastrand::Rng,
    cluster: Cluster,
    operator: Operator,
    network: Network,
    /// Earlier states of the API, latest last.
    past: Vec<Observed>,
    /// Counts before this are not known to this run of the operator.
    started: Millis,
    faults: Vec<Millis>,
    /// UIDs of pods that others than the operator deleted.
    deleted: Vec<String>,
    budget: f64,
    was_up: bool,
    revisions: u32,
    story: Story,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let settings = Settings {
            step: 500,
            nodes: 4,
            zones: 2,
            capacity: 100,
            start_up: 2_000,
            grace: 30_000,
            controller_lag: 1_900,
            readiness_lag: 1_500,
            endpoints_lag: 900,
            reconnect_delay: 3_000,
            scrape_every: 2_000,
        };
        let floor = rng.u32(1..=2);
        let budget = f64::from(rng.u32(5..=40));
        let fleet = Fleet {
            desired: floor + rng.u32(0..=3),
            floor,
            paused: false,
            deletion: None,
            revision: "r1".to_owned(),
            policy: Policy {
                deadline: SignedDuration::from_secs(rng.i64(15..=40)),
                reconnects_per_second: Some(budget),
                headroom: 1.1,
            },
            rollout: Rollout { max_surge: rng.u32(1..=2), paused: false, partition: 0, failed: false },
        };
        let cluster = Cluster::new(settings, fleet, seed);
        Self {
            cluster,
            operator: Operator::default(),
            network: Network { lost_requests: rng.u8(0..10), lost_answers: rng.u8(0..10) },
            past: Vec::new(),
            started: 0,
            faults: Vec::new(),
            deleted: Vec::new(),
            budget,
            was_up: false,
            revisions: 1,
            story: Story::default(),
            rng,
        }
    }

    fn run(mut self) -> Result<Story, String> {
        let calm_until = self.cluster.now + 10_000;
        while self.cluster.now < calm_until {
            self.step()?;
        }
        self.load();
        let until = self.cluster.now + UNREST;
        while self.cluster.now < until {
            if self.rng.u8(0..100) < 8 {
                self.mischief();
            }
            self.step()?;
        }
        self.make_peace();
        let (peace, started) = (self.cluster.now, self.story.drains);
        let pods = self.cluster.api.pods.len() as u32;
        let mut restless = self.cluster.now;
        loop {
            self.step()?;
            if !self.at_rest() {
                restless = self.cluster.now;
            }
            if self.cluster.now - restless >= REST {
                break;
            }
            if self.cluster.now - peace > PEACE {
                return Err(format!("no rest: {}", self.describe()));
            }
        }
        self.story.rest_after = restless - peace;
        let drains = self.story.drains - started;
        if drains > 2 * (pods + self.cluster.api.fleet.desired) {
            return Err(format!("{drains} drains of {pods} pods in peace: it oscillates"));
        }
        let current = &self.cluster.api.fleet.revision;
        self.story.canary = self.cluster.api.pods.iter().any(|p| p.revision != *current);
        self.story.moved = self.cluster.tally.moved;
        self.story.forced = self.cluster.tally.forced;
        Ok(self.story)
    }

    fn step(&mut self) -> Result<(), String> {
        self.cluster.step();
        if self.past.len() == REMEMBERED {
            self.past.remove(0);
        }
        self.past.push(self.cluster.api.clone());
        if self.rng.bool() && self.scraped_since_start() {
            self.reconcile()?;
        }
        self.check()
    }

    /// A new operator looks once it has asked the pods.
    fn scraped_since_start(&self) -> bool {
        self.cluster.now - self.started >= self.cluster.settings.scrape_every
    }

    fn reconcile(&mut self) -> Result<(), String> {
        // Mostly what is, sometimes what was, in any order; each kind of object from its own watch.
        let mut look = |past: &[Observed]| {
            let back = if self.rng.u8(0..4) == 0 { self.rng.usize(0..past.len()) } else { 0 };
            past.len() - 1 - back
        };
        let (pods, revisions) = (look(&self.past), look(&self.past));
        let mut observed = self.past[pods].clone();
        observed.revisions.clone_from(&self.past[revisions].revisions);
        observed.fleet.clone_from(&self.cluster.api.fleet);
        for pod in &mut observed.pods {
            // Counts are not watched: the latest are at hand.
            if let Some(i) = self.cluster.find(&pod.id.uid) {
                let latest = &self.cluster.api.pods[i];
                pod.sockets.clone_from(&latest.sockets);
                pod.report.clone_from(&latest.report);
            }
            if pod.report.as_ref().is_some_and(|r| r.at.as_millisecond() < self.started) {
                (pod.report, pod.sockets) = (None, None);
            }
        }
        let dies = (self.rng.u8(0..100) < 3).then(|| self.rng.usize(0..4));
        let done = self.operator.reconcile(&mut self.cluster, observed, self.network, dies);
        if dies.is_some() {
            self.operator = Operator::default();
            self.started = self.cluster.now;
            // A new watch begins with what is.
            self.past.clear();
            self.past.push(self.cluster.api.clone());
            self.story.restarts += 1;
        }
        for note in &done.notes {
            match note.reason {
                "DrainStarted" => self.story.drains += 1,
                "DrainCancelled" => self.story.cancelled += 1,
                _ => {}
            }
        }
        let chosen = |w: &&WrongVictims| !w.gone.iter().all(|uid| self.deleted.contains(uid));
        match done.wrong.iter().find(chosen) {
            Some(wrong) => Err(format!("wrong victim: {wrong:?}; {}", self.describe())),
            None => Ok(()),
        }
    }

    /// What must hold at every instant.
    fn check(&mut self) -> Result<(), String> {
        let now = self.cluster.now;
        if let Some(name) = self.cluster.tally.robbed.first() {
            return Err(format!("{name} was deleted with open sockets; {}", self.describe()));
        }
        let voluntary = |s: &&crate::server::Server| {
            s.drain.as_ref().is_some_and(|d| d.reason != DrainReason::Shutdown && now < d.deadline)
        };
        let pace: f64 = self.cluster.servers.iter().filter(voluntary).map(|s| s.pace(now)).sum();
        if pace > self.budget * 1.001 {
            return Err(format!("pace {pace} is above the budget {}; {}", self.budget, self.describe()));
        }
        self.faults.retain(|until| *until > now);
        let serving = self.cluster.api.pods.iter();
        let serving = serving.filter(|p| p.deleting.is_none() && p.ready && p.marks.drain.is_none()).count();
        let floor = self.cluster.api.fleet.floor as usize;
        self.was_up |= serving >= floor;
        if self.was_up && serving + self.faults.len() < floor {
            return Err(format!("{serving} pods serve, the floor is {floor}; {}", self.describe()));
        }
        Ok(())
    }

    fn load(&mut self) {
        let fleet = &self.cluster.api.fleet;
        let places = u64::from(fleet.wanted()) * self.cluster.settings.capacity;
        self.cluster.clients.population = places * self.rng.u64(5..=75) / 100;
    }

    fn fault(&mut self) {
        self.faults.push(self.cluster.now + REPAIR);
    }

    fn mischief(&mut self) {
        let now = self.cluster.now;
        let pods = self.cluster.api.pods.len();
        if pods == 0 {
            return;
        }
        let i = self.rng.usize(0..pods);
        let n = self.rng.usize(0..self.cluster.nodes.len());
        match self.rng.u8(0..26) {
            0..=5 => {
                let fleet = &mut self.cluster.api.fleet;
                fleet.desired = fleet.floor + self.rng.u32(0..=3);
            }
            6 | 7 => self.load(),
            8 | 9 => self.new_revision(),
            10 => {
                // Back to an earlier one: a new attempt.
                let hash = format!("r{}", self.rng.u32(1..=self.revisions));
                self.cluster.api.fleet.revision = hash;
                self.cluster.api.fleet.rollout.failed = false;
            }
            11 => {
                let cut = self.cluster.servers[i].crash(now, 4_000);
                self.cluster.tally.cut += cut;
                self.fault();
            }
            12 | 13 => {
                self.cluster.servers[i].unwell_until = now + self.rng.i64(500..8_000);
                self.fault();
            }
            14 | 15 => {
                self.deleted.push(self.cluster.api.pods[i].id.uid.clone());
                self.cluster.delete(i);
                self.fault();
            }
            16 => self.cluster.nodes[n].cordoned ^= true,
            17 => {
                let lost = self.cluster.nodes[n].lost_since.is_some();
                self.cluster.nodes[n].lost_since = (!lost).then_some(now);
                if !lost {
                    let name = &self.cluster.nodes[n].name;
                    let there = self.cluster.api.pods.iter().filter(|p| p.node.as_ref() == Some(name));
                    for _ in 0..there.count() {
                        self.fault();
                    }
                }
            }
            18 | 19 => {
                let requested = !self.cluster.api.pods[i].requested;
                self.cluster.change(i, |pod| pod.requested = requested);
            }
            20 => self.cluster.servers[i].silent_until = now + self.rng.i64(2_000..20_000),
            21 => self.cluster.api.fleet.paused ^= true,
            22 => self.cluster.api.fleet.rollout.paused ^= true,
            23 => self.cluster.api.fleet.rollout.failed ^= true,
            _ => self.cluster.api.fleet.rollout.partition = self.rng.u32(0..=3),
        }
    }

    fn new_revision(&mut self) {
        self.revisions += 1;
        let hash = format!("r{}", self.revisions);
        if self.rng.u8(0..3) == 0 {
            self.cluster.bad_revisions.insert(hash.clone());
        }
        self.cluster.api.fleet.revision = hash;
        self.cluster.api.fleet.rollout.failed = false;
    }

    /// All is well again, and the load has room.
    fn make_peace(&mut self) {
        if self.cluster.bad_revisions.contains(&self.cluster.api.fleet.revision) {
            self.revisions += 1;
            self.cluster.api.fleet.revision = format!("r{}", self.revisions);
        }
        let fleet = &mut self.cluster.api.fleet;
        (fleet.paused, fleet.rollout.paused, fleet.rollout.failed) = (false, false, false);
        // A canary may stay for ever.
        let most = if self.rng.bool() { 0 } else { fleet.wanted().saturating_sub(1) };
        fleet.rollout.partition = fleet.rollout.partition.min(most);
        for node in &mut self.cluster.nodes {
            (node.cordoned, node.lost_since) = (false, None);
        }
        for i in 0..self.cluster.api.pods.len() {
            self.cluster.change(i, |pod| pod.requested = false);
            self.cluster.servers[i].silent_until = 0;
            self.cluster.reschedule(i);
        }
        let fleet = &self.cluster.api.fleet;
        let places = u64::from(fleet.wanted()) * self.cluster.settings.capacity;
        self.cluster.clients.population = places * 2 / 5;
    }

    fn at_rest(&self) -> bool {
        let Observed { fleet, revisions, pods } = &self.cluster.api;
        let old = pods.iter().filter(|p| p.revision != fleet.revision).count();
        pods.len() == fleet.wanted() as usize
            && old <= fleet.rollout.partition as usize
            && pods.iter().all(|p| {
                p.ready
                    && p.marks.drain.is_none()
                    && p.marks.deletion_cost.is_none()
                    && matches!(p.marks.traffic, Some(Traffic::Accept | Traffic::Saturated))
            })
            && revisions
                .iter()
                .all(|r| r.replicas as usize == pods.iter().filter(|p| p.revision == r.hash).count())
            && self.cluster.servers.iter().all(|s| s.drain.is_none())
    }

    /// For people who look for the cause.
    fn describe(&self) -> String {
        use std::fmt::Write;
        let Observed { fleet, revisions, pods } = &self.cluster.api;
        let mut text = format!(
            "wanted {}, floor {}, revision {}, rollout {:?}, waiting {}",
            fleet.desired,
            fleet.floor,
            fleet.revision,
            fleet.rollout,
            self.cluster.clients.waiting()
        );
        for r in revisions {
            let _ = write!(
                text,
                "\n  {}: {} replicas, {} there, {} ready, settled {}",
                r.hash, r.replicas, r.status_replicas, r.status_ready, r.settled
            );
        }
        for (pod, server) in pods.iter().zip(&self.cluster.servers) {
            let _ = write!(
                text,
                "\n  {} on {:?} {:?}: {:?} ready {} broken {} deleting {} requested {} open {} drain {:?} marks {:?} {:?} {:?}",
                pod.id.name,
                pod.node,
                pod.node_state,
                pod.phase,
                pod.ready,
                pod.broken,
                pod.deleting.is_some(),
                pod.requested,
                server.open,
                server.drain.as_ref().map(|d| (d.pace, d.reason)),
                pod.marks.traffic,
                pod.marks.deletion_cost,
                pod.marks.drain.as_ref().map(|d| (d.phase, d.reason)),
            );
        }
        text
    }
}

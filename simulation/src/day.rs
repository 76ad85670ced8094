//! A day of a fleet: the load rises and falls, a new revision is rolled out on the way up, and a zone is lost at the peak.

use std::collections::HashMap;
use std::f64::consts::TAU;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use socketfleet_api::contract::DrainReason;
use socketfleet_drain::{Fleet, Policy, Rollout, Summary};

use crate::cluster::{Cluster, Settings};
use crate::hpa::{Hpa, SYNC};
use crate::operator::{Network, Operator};
use crate::server::{Millis, Server};

/// Before the day begins, for the first pods to start and fill.
const WARM_UP: Millis = 600_000;
/// For so long the zone is away.
const ZONE_AWAY: Millis = 1_800_000;
/// Time between two looks at a fleet in which nothing drains.
const IDLE_LOOK: Millis = 6_000;
/// Time that a sample speaks of.
const SAMPLE: Millis = 60_000;
/// The night's load, as a share of the peak's.
const NIGHT: f64 = 0.3;

/// How large a fleet, and how long its day.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Pods that the peak needs.
    pub pods: u32,
    /// Sockets for each pod that the autoscaler aims at.
    pub target: u64,
    /// Sockets that a pod accepts.
    pub capacity: u64,
    /// Sockets that may be moved in a second.
    pub budget: f64,
    pub nodes: usize,
    /// Length of the day.
    pub day: Millis,
    pub step: Millis,
}

/// One minute.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Seconds since the day began.
    pub at: f64,
    /// Clients that there are.
    pub clients: u64,
    /// Sockets that are open at the end of the minute.
    pub open: u64,
    pub desired: u32,
    /// Pods that the load needs.
    pub needed: u32,
    pub pods: u32,
    pub ready: u32,
    pub draining: u32,
    /// Sockets that drains moved in a second, at most in this minute.
    pub moved_per_second: f64,
    /// Sockets accepted in a second, at most in this minute.
    pub accepted_per_second: f64,
}

/// How the day went.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub samples: Vec<Sample>,
    /// What happened when, seconds since the day began.
    pub steps: Vec<(f64, String)>,
    pub drains: u32,
    pub taken_back: u32,
    /// Sockets that drains moved, and of these at a deadline.
    pub moved: u64,
    pub forced: u64,
    /// Sockets that were cut by the zone's loss.
    pub lost: u64,
    /// Highest sum of the paces that were in force, as a share of the budget.
    pub pace_of_budget: f64,
    /// Pods that a ReplicaSet deleted while they held sockets.
    pub robbed: usize,
    /// Sockets moved by the rollout for each client that there was.
    pub moves_per_client: f64,
    /// From the new revision until the last old pod had gone, seconds.
    pub rollout_took: Option<f64>,
    /// From the zone's loss until all clients were back, seconds.
    pub back_after: Option<f64>,
    /// From a drain's begin until its pod was gone: the longest, seconds.
    pub longest_drain: f64,
    /// Drains that took longer than their deadline.
    pub late_drains: u32,
    /// Hours of pods, and of those beyond what the load of the moment needed and a tenth.
    pub pod_hours: f64,
    pub held_hours: f64,
    /// How often the wanted number turned from growing to shrinking or back.
    pub turns: u32,
    /// How long decisions took in real time, ascending.
    pub decisions: Vec<Duration>,
}

/// Lets a day pass.
pub fn run(size: Size) -> Outcome {
    Day::new(size).run()
}

struct Day {
    size: Size,
    cluster: Cluster,
    operator: Operator,
    hpa: Hpa,
    start: Millis,
    next_look: Millis,
    next_sync: Millis,
    served: u64,
    summary: Summary,
    /// Drains that run, by the pod's UID, since when.
    running: HashMap<String, Millis>,
    grows: Option<bool>,
    minute: Sample,
    at_rollout: u64,
    /// Clients when the rollout began.
    clients_at_rollout: u64,
    zone_lost_at: Option<Millis>,
    out: Outcome,
}

impl Day {
    fn new(size: Size) -> Self {
        let settings = Settings {
            step: size.step,
            nodes: size.nodes,
            zones: 3,
            capacity: size.capacity,
            start_up: 20_000,
            grace: 315_000,
            controller_lag: 1_000,
            readiness_lag: 1_000,
            endpoints_lag: 1_000,
            reconnect_delay: 5_000,
            scrape_every: 2_000,
        };
        let desired = u32::try_from(load(size, 0).div_ceil(size.target)).unwrap_or(u32::MAX);
        let min = size.pods / 10;
        let fleet = Fleet {
            desired,
            floor: min,
            paused: false,
            deletion: None,
            revision: "r1".to_owned(),
            policy: Policy {
                deadline: SignedDuration::from_secs(300),
                reconnects_per_second: Some(size.budget),
                headroom: 1.1,
            },
            rollout: Rollout { max_surge: desired.div_ceil(4), paused: false, partition: 0, failed: false },
        };
        let mut cluster = Cluster::new(settings, fleet, 1);
        cluster.clients.population = load(size, 0);
        let start = cluster.now + WARM_UP;
        Self {
            size,
            cluster,
            operator: Operator::default(),
            hpa: Hpa::new(min, size.pods * 5 / 4, size.target),
            start,
            next_look: 0,
            next_sync: start,
            served: 0,
            summary: Summary::default(),
            running: HashMap::new(),
            grows: None,
            minute: Sample::default(),
            at_rollout: 0,
            clients_at_rollout: 0,
            zone_lost_at: None,
            out: Outcome { steps: vec![(0.0, "Night".into())], ..Outcome::default() },
        }
    }

    fn run(mut self) -> Outcome {
        let (rollout, loss) = (self.size.day * 10 / 24, self.size.day * 16 / 24);
        while self.time() < self.size.day {
            let before = self.time();
            let tally = self.cluster.tally.clone();
            self.cluster.clients.population = load(self.size, self.time().max(0));
            self.cluster.step();
            self.look();
            let time = self.time();
            if time < 0 {
                continue;
            }
            let passed = |at: Millis| before < at && time >= at;
            if passed(rollout) {
                self.roll_out();
            }
            if passed(loss) {
                self.zone(Some(self.cluster.now), "Zone lost");
                self.zone_lost_at = Some(time);
            }
            if passed(loss + ZONE_AWAY) {
                self.zone(None, "Zone back");
            }
            self.autoscale();
            self.note(tally.moved, tally.connected);
        }
        self.out.moved = self.cluster.tally.moved;
        self.out.forced = self.cluster.tally.forced;
        self.out.lost = self.cluster.tally.cut;
        self.out.robbed = self.cluster.tally.robbed.len();
        self.out.decisions.sort_unstable();
        self.out
    }

    /// Since the day began.
    fn time(&self) -> Millis {
        self.cluster.now - self.start
    }

    fn seconds(&self) -> f64 {
        self.time() as f64 / 1e3
    }

    /// The operator looks: soon where pods drain, as it asks for, and from time to time otherwise, as changes of pods make
    /// it.
    fn look(&mut self) {
        if self.cluster.now < self.next_look {
            return;
        }
        let observed = self.cluster.api.clone();
        let begun = Instant::now();
        let done = self.operator.reconcile(&mut self.cluster, observed, Network::default(), None);
        self.out.decisions.push(begun.elapsed());
        let soon = done.decision.requeue_after.and_then(|d| Millis::try_from(d.as_millis()).ok());
        self.next_look = self.cluster.now + soon.unwrap_or(IDLE_LOOK).min(IDLE_LOOK);
        self.summary = done.decision.summary;
        for note in &done.notes {
            match note.reason {
                "DrainStarted" => self.out.drains += 1,
                "DrainCancelled" => self.out.taken_back += 1,
                _ => {}
            }
        }
        self.note_drains();
    }

    fn note_drains(&mut self) {
        let now = self.cluster.now;
        let before = std::mem::take(&mut self.running);
        // One on a node that is lost ends when the node is back or taken away: that is nobody's drain.
        for drain in self.summary.drains.iter().filter(|d| d.reason != DrainReason::Deleted) {
            self.running.insert(drain.uid.clone(), drain.started.as_millisecond());
        }
        for started in before.into_iter().filter(|(uid, _)| !self.running.contains_key(uid)).map(|d| d.1) {
            let took = (now - started) as f64 / 1e3;
            self.out.longest_drain = self.out.longest_drain.max(took);
            // Emptied, seen NotReady, deleted: that takes a moment beyond the deadline.
            self.out.late_drains += u32::from(took > 330.0);
        }
    }

    fn roll_out(&mut self) {
        let fleet = &mut self.cluster.api.fleet;
        fleet.revision = "r2".to_owned();
        fleet.rollout.max_surge = fleet.desired.div_ceil(4);
        self.at_rollout = self.cluster.tally.moved;
        self.clients_at_rollout = self.cluster.clients.population;
        self.out.steps.push((self.seconds(), "Rollout".into()));
    }

    fn zone(&mut self, lost_since: Option<Millis>, name: &str) {
        for node in self.cluster.nodes.iter_mut().filter(|n| n.zone == "zone-1") {
            node.lost_since = lost_since;
        }
        self.out.steps.push((self.seconds(), name.into()));
    }

    fn autoscale(&mut self) {
        if self.cluster.now < self.next_sync {
            return;
        }
        self.next_sync += SYNC;
        let there = self.summary.serving;
        let wanted = self.cluster.api.fleet.desired;
        self.served = self.cluster.served(self.size.target, there.max(wanted), self.served);
        let next = self.hpa.scale(self.cluster.now, wanted, there, self.served);
        if next != wanted {
            let grows = next > wanted;
            self.out.turns += u32::from(self.grows.is_some_and(|before| before != grows));
            self.grows = Some(grows);
            self.cluster.api.fleet.desired = next;
            self.cluster.api.fleet.rollout.max_surge = next.div_ceil(4);
            self.next_look = self.cluster.now;
        }
    }

    fn note(&mut self, moved_before: u64, connected_before: u64) {
        let (now, time) = (self.cluster.now, self.time());
        let per_second = |n: u64| n as f64 * 1e3 / self.size.step as f64;
        let voluntary = |s: &&Server| {
            s.drain.as_ref().is_some_and(|d| d.reason != DrainReason::Shutdown && now < d.deadline)
        };
        let pace: f64 = self.cluster.servers.iter().filter(voluntary).map(|s| s.pace(now)).sum();
        self.out.pace_of_budget = self.out.pace_of_budget.max(pace / self.size.budget);
        let tally = &self.cluster.tally;
        let minute = &mut self.minute;
        minute.moved_per_second = minute.moved_per_second.max(per_second(tally.moved - moved_before));
        minute.accepted_per_second =
            minute.accepted_per_second.max(per_second(tally.connected - connected_before));

        let (open, clients) = (self.cluster.open(), self.cluster.clients.population);
        let pods = self.cluster.api.pods.len() as u32;
        let needed = u32::try_from(clients.div_ceil(self.size.target)).unwrap_or(u32::MAX);
        let hours = self.size.step as f64 / 3.6e6;
        self.out.pod_hours += f64::from(pods) * hours;
        self.out.held_hours += (f64::from(pods) - f64::from(needed) * 1.1).max(0.0) * hours;
        let rolling = self.clients_at_rollout > 0 && self.out.rollout_took.is_none();
        if rolling && self.cluster.api.pods.iter().all(|p| p.revision == "r2") {
            let began = self.out.steps.iter().find(|s| s.1 == "Rollout").map_or(0.0, |s| s.0);
            self.out.rollout_took = Some(self.seconds() - began);
            let moved = self.cluster.tally.moved - self.at_rollout;
            self.out.moves_per_client = moved as f64 / self.clients_at_rollout as f64;
            self.out.steps.push((self.seconds(), "Day".into()));
        }
        if let Some(lost) = self.zone_lost_at
            && self.out.back_after.is_none()
            && time > lost + 60_000
            && open as f64 >= clients as f64 * 0.999
        {
            self.out.back_after = Some((time - lost) as f64 / 1e3);
        }
        if time / SAMPLE != (time - self.size.step) / SAMPLE {
            self.out.samples.push(Sample {
                at: self.seconds(),
                clients,
                open,
                desired: self.cluster.api.fleet.desired,
                needed,
                pods,
                ready: self.summary.ready,
                draining: self.summary.drains.len() as u32,
                ..self.minute
            });
            self.minute = Sample::default();
        }
    }
}

/// Clients at a time of the day: fewest at four o'clock, most at sixteen.
fn load(size: Size, time: Millis) -> u64 {
    let peak = (u64::from(size.pods) * size.target) as f64;
    let phase = (time as f64 / size.day as f64 - 4.0 / 24.0) * TAU;
    let share = NIGHT + (1.0 - NIGHT) * (1.0 - phase.cos()) / 2.0;
    (peak * share) as u64
}

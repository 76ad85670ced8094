//! The cluster: what the API server holds, and the controllers, kubelets, servers and clients that move it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use socketfleet_api::contract::Traffic;
use socketfleet_drain::{
    Fleet, Marks, NodeState, Observed, Pod, PodPhase, PodRef, Report, Revision, Sockets,
};

use crate::clients::Clients;
use crate::replicaset::deletion_key;
use crate::server::{Millis, Server};

/// How the cluster is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Virtual time that one step takes.
    pub step: Millis,
    pub nodes: usize,
    pub zones: usize,
    /// Sockets that a pod accepts.
    pub capacity: u64,
    /// From a pod's creation until it is Ready.
    pub start_up: Millis,
    /// Grace period of the pods.
    pub grace: Millis,
    /// How late controllers act, at most, and how old what they act upon may be.
    pub controller_lag: Millis,
    /// How late the kubelet publishes readiness, at most, beyond its probes.
    pub readiness_lag: Millis,
    /// How late nodes learn of endpoints, at most.
    pub endpoints_lag: Millis,
    /// How long a client waits before it connects again, at most.
    pub reconnect_delay: Millis,
    /// How often pods are asked for their sockets.
    pub scrape_every: Millis,
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    pub zone: String,
    pub cordoned: bool,
    /// Since when it cannot be reached.
    pub lost_since: Option<Millis>,
}

/// What happened, added up.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Sockets moved at the pace.
    pub moved: u64,
    /// Sockets closed because a drain reached its deadline.
    pub forced: u64,
    /// Sockets cut by crashes, lost nodes and kills.
    pub cut: u64,
    /// Pods that a ReplicaSet deleted while they held sockets, before their deadline.
    pub robbed: Vec<String>,
    /// Sockets that were refused because nobody had room or the Service was late.
    pub refused: u64,
    /// Sockets accepted.
    pub connected: u64,
}

/// A cluster with one fleet.
pub struct Cluster {
    pub now: Millis,
    pub settings: Settings,
    /// What the API server holds; the fleet's spec is in it.
    pub api: Observed,
    /// The process of each pod, in the order of `api.pods`.
    pub servers: Vec<Server>,
    pub nodes: Vec<Node>,
    pub clients: Clients,
    pub tally: Tally,
    /// Revisions whose pods never become Ready.
    pub bad_revisions: BTreeSet<String>,
    pub rng: fastrand::Rng,
    /// State of the controllers, in the order of `api.revisions`.
    controllers: Vec<Controller>,
    kubelets: Vec<Kubelet>,
    serial: u64,
}

/// A Deployment's controllers.
#[derive(Clone, Debug, Default)]
struct Controller {
    acts_at: Millis,
    version: u64,
}

/// What others know of a pod, and when they learn what has changed; in the order of `api.pods`.
#[derive(Clone, Debug, Default)]
struct Kubelet {
    node: usize,
    revision: usize,
    /// The Service's view.
    in_service: bool,
    in_service_changes_at: Option<Millis>,
    /// What the ReplicaSet's controller still sees until then.
    late: Option<(Millis, Pod)>,
    last_answer: Option<Millis>,
    /// Sockets that it said it has, then.
    last_open: u64,
    next_scrape: Millis,
}

/// The API server's refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A precondition does not hold.
    Conflict,
    /// There is no such object.
    NotFound,
}

/// 2026-01-01T00:00:00Z, the start of virtual time.
const EPOCH: Millis = 1_767_225_600_000;

impl Cluster {
    pub fn new(settings: Settings, fleet: Fleet, seed: u64) -> Self {
        let node = |i: usize| Node {
            name: format!("node-{i}"),
            zone: format!("zone-{}", i % settings.zones),
            cordoned: false,
            lost_since: None,
        };
        Self {
            now: EPOCH,
            nodes: (0..settings.nodes).map(node).collect(),
            settings,
            api: Observed { fleet, revisions: Vec::new(), pods: Vec::new() },
            servers: Vec::new(),
            clients: Clients::default(),
            tally: Tally::default(),
            bad_revisions: BTreeSet::new(),
            rng: fastrand::Rng::with_seed(seed),
            controllers: Vec::new(),
            kubelets: Vec::new(),
            serial: 0,
        }
    }

    /// The time as the operator reads it.
    pub fn timestamp(&self) -> Timestamp {
        timestamp(self.now)
    }

    /// Sockets that are open.
    pub fn open(&self) -> u64 {
        self.servers.iter().map(|s| s.open).sum()
    }

    /// What the operator serves to the autoscaler: pods that do not answer count with what they said last until they
    /// are surely dead, and while there are such the number neither falls nor lets the fleet shrink.
    pub fn served(&self, target: u64, replicas: u32, before: u64) -> u64 {
        let (mut open, mut doubt) = (0, false);
        for (pod, kubelet) in self.api.pods.iter().zip(&self.kubelets) {
            let dead = pod.phase != PodPhase::Running
                || pod.deleting.is_some_and(|at| self.now >= at.as_millisecond() + 10_000);
            if !dead && kubelet.last_answer.is_some() {
                open += kubelet.last_open;
                doubt |= pod.sockets.is_none();
            }
        }
        if doubt { open.max(target * u64::from(replicas)).max(before) } else { open }
    }

    /// Index of a pod.
    pub fn find(&self, uid: &str) -> Option<usize> {
        self.api.pods.iter().position(|p| p.id.uid == uid)
    }

    /// Lets everything get on by one step.
    pub fn step(&mut self) {
        self.now += self.settings.step;
        self.nodes_and_their_pods();
        self.processes();
        self.kubelets();
        self.endpoints();
        self.clients_connect();
        self.controllers_act();
    }

    // What the operator may do.

    /// Patches a Pod's marks. Returns its new version.
    pub fn patch(&mut self, pod: &PodRef, marks: Marks) -> Result<String, Refusal> {
        let i = self.find(&pod.uid).ok_or(Refusal::NotFound)?;
        if self.api.pods[i].id.resource_version != pod.resource_version {
            return Err(Refusal::Conflict);
        }
        self.change(i, |pod| pod.marks = marks);
        Ok(self.api.pods[i].id.resource_version.clone())
    }

    /// Applies a Deployment's replicas; creates it where it does not exist. Returns its version then.
    pub fn scale(&mut self, hash: &str, replicas: u32, version: Option<&str>) -> Result<String, Refusal> {
        let i = match self.api.revisions.iter().position(|r| r.hash == hash) {
            Some(i) => i,
            None => {
                self.api.revisions.push(Revision {
                    hash: hash.to_owned(),
                    created: None,
                    replicas: 0,
                    status_replicas: 0,
                    status_ready: 0,
                    settled: false,
                    resource_version: String::new(),
                });
                self.controllers.push(Controller::default());
                self.api.revisions.len() - 1
            }
        };
        let (now, lag) = (self.now, self.late());
        let revision = &mut self.api.revisions[i];
        if version.is_some_and(|v| v != revision.resource_version) {
            return Err(Refusal::Conflict);
        }
        if revision.replicas != replicas || revision.created.is_none() {
            revision.created = revision.created.or(Some(timestamp(now)));
            revision.replicas = replicas;
            revision.settled = false;
            self.controllers[i].version += 1;
            revision.resource_version = self.controllers[i].version.to_string();
            self.controllers[i].acts_at = now + lag;
        }
        Ok(revision.resource_version.clone())
    }

    /// Deletes a pod; anybody may.
    pub fn delete(&mut self, i: usize) {
        if self.api.pods[i].deleting.is_none() {
            let kill = self.now + self.settings.grace;
            self.change(i, |pod| pod.deleting = Some(timestamp(kill)));
            self.servers[i].terminated(kill - 5_000);
            let revision = self.kubelets[i].revision;
            let acts_at = self.now + self.late();
            self.controllers[revision].acts_at = self.controllers[revision].acts_at.max(acts_at);
        }
    }

    /// Changes a Pod and its version; the ReplicaSet's controller may learn of it a little later.
    pub fn change(&mut self, i: usize, change: impl FnOnce(&mut Pod)) {
        let lag = self.late();
        let pod = &mut self.api.pods[i];
        if lag > 0 && self.kubelets[i].late.is_none() {
            self.kubelets[i].late = Some((self.now + lag, pod.clone()));
        }
        change(pod);
        self.servers[i].version += 1;
        pod.id.resource_version = self.servers[i].version.to_string();
    }

    /// Gives a pod that found no node another chance.
    pub fn reschedule(&mut self, i: usize) {
        if self.kubelets[i].node == usize::MAX {
            let (now, start_up) = (self.now, self.settings.start_up);
            let good = !self.bad_revisions.contains(&self.api.pods[i].revision);
            self.servers[i] =
                Server { version: self.servers[i].version, ..Server::starting(now, start_up, good) };
            self.kubelets[i].node = 0;
            let node = &self.nodes[0];
            let (name, zone) = (node.name.clone(), node.zone.clone());
            self.change(i, |pod| (pod.node, pod.zone) = (Some(name), Some(zone)));
        }
    }

    fn late(&mut self) -> Millis {
        match self.settings.controller_lag {
            0 => 0,
            most => self.rng.i64(0..=most),
        }
    }

    // What happens by itself.

    fn nodes_and_their_pods(&mut self) {
        const GRACE: Millis = 40_000;
        const EVICTION: Millis = 340_000;
        for i in 0..self.api.pods.len() {
            let Some(node) = self.nodes.get(self.kubelets[i].node) else { continue };
            let state = match node.lost_since {
                Some(since) if self.now - since >= GRACE => NodeState::Lost,
                _ if node.cordoned => NodeState::Cordoned,
                _ => NodeState::Fine,
            };
            let evict = node.lost_since.is_some_and(|since| self.now - since >= EVICTION);
            if self.api.pods[i].node_state != state {
                let now = timestamp(self.now);
                // The node's state is not part of the Pod, the loss of readiness is.
                self.api.pods[i].node_state = state;
                if state == NodeState::Lost && self.api.pods[i].ready {
                    self.change(i, |pod| (pod.ready, pod.ready_since) = (false, now));
                }
            }
            if evict {
                self.delete(i);
            }
        }
    }

    fn lost(&self, i: usize) -> bool {
        self.nodes.get(self.kubelets[i].node).is_some_and(|n| n.lost_since.is_some())
    }

    fn processes(&mut self) {
        let delay = self.settings.reconnect_delay;
        let mut i = 0;
        while i < self.servers.len() {
            if self.lost(i) {
                let cut = std::mem::take(&mut self.servers[i].open);
                self.tally.cut += cut;
                // The client's own heartbeat tells it: 25 s and 20 s of stock servers.
                let step = self.settings.step;
                self.clients.lost_sockets(self.now, (20_000, 45_000 + delay), step, cut);
                i += 1;
                continue;
            }
            let left = self.servers[i].step(self.now, self.settings.step);
            if left != Default::default() {
                self.tally.moved += left.moved;
                self.tally.forced += left.forced;
                let wait = self.now_and_then(delay);
                self.clients.lost_socket(self.now, wait, left.moved + left.forced);
            }
            let killed = self.api.pods[i].deleting.is_some_and(|at| self.now >= at.as_millisecond());
            if killed || (self.api.pods[i].deleting.is_some() && self.servers[i].open == 0) {
                let cut = self.servers[i].open;
                self.tally.cut += cut;
                self.clients.lost_socket(self.now, delay, cut);
                self.api.pods.swap_remove(i);
                self.servers.swap_remove(i);
                self.kubelets.swap_remove(i);
            } else {
                i += 1;
            }
        }
    }

    fn now_and_then(&mut self, most: Millis) -> Millis {
        // Whole steps, so that few queues are needed.
        let step = self.settings.step;
        self.rng.i64(1..=(most / step).max(1)) * step
    }

    fn kubelets(&mut self) {
        let now = self.now;
        for i in 0..self.api.pods.len() {
            if self.kubelets[i].late.as_ref().is_some_and(|(until, _)| now >= *until) {
                self.kubelets[i].late = None;
            }
            if self.lost(i) {
                if self.kubelets[i].last_answer.is_some_and(|at| now - at > 6_000) {
                    self.api.pods[i].sockets = None;
                    self.api.pods[i].report = None;
                }
                continue;
            }
            let server = &self.servers[i];
            let phase = if now >= server.runs_at { PodPhase::Running } else { PodPhase::Pending };
            let broken = now < server.down_until;
            let ready = server.is_ready(now);
            let pod = &self.api.pods[i];
            if pod.phase != phase || pod.broken != broken {
                self.change(i, |pod| (pod.phase, pod.broken) = (phase, broken));
            }
            match self.servers[i].unpublished {
                None if ready != self.api.pods[i].ready => {
                    // Three failed probes, one good one.
                    let probes = if ready || broken { 0 } else { 3_000 };
                    let at = now + probes + self.rng.i64(0..=self.settings.readiness_lag);
                    self.servers[i].unpublished = Some((at, ready));
                }
                Some((at, _)) if now >= at => {
                    self.servers[i].unpublished = None;
                    if self.api.pods[i].ready != ready {
                        let since = timestamp(now);
                        self.change(i, |pod| (pod.ready, pod.ready_since) = (ready, since));
                    }
                }
                _ => {}
            }
            if now >= self.kubelets[i].next_scrape {
                self.kubelets[i].next_scrape = now + self.settings.scrape_every;
                self.scrape(i);
            }
        }
    }

    fn scrape(&mut self, i: usize) {
        let (server, pod, kubelet) = (&self.servers[i], &mut self.api.pods[i], &mut self.kubelets[i]);
        if server.runs(self.now) && self.now >= server.silent_until {
            kubelet.last_answer = Some(self.now);
            kubelet.last_open = server.open;
            pod.sockets = Some(Sockets { open: server.open, capacity: self.settings.capacity });
            let at = timestamp(self.now);
            match &mut pod.report {
                Some(report) if report.drain.reason.is_none() && server.drain.is_none() => {
                    report.at = at;
                    report.drain.remaining = server.open;
                }
                report => *report = Some(Report { at, drain: server.report() }),
            }
        } else if kubelet.last_answer.is_none_or(|at| self.now - at > 6_000) {
            pod.sockets = None;
            pod.report = None;
        }
    }

    fn endpoints(&mut self) {
        for i in 0..self.api.pods.len() {
            let pod = &self.api.pods[i];
            let takes = pod.ready && pod.marks.traffic == Some(Traffic::Accept) && pod.deleting.is_none();
            let kubelet = &mut self.kubelets[i];
            if takes == kubelet.in_service {
                kubelet.in_service_changes_at = None;
                continue;
            }
            match kubelet.in_service_changes_at {
                None => {
                    let lag = self.rng.i64(0..=self.settings.endpoints_lag);
                    kubelet.in_service_changes_at = Some(self.now + lag);
                }
                Some(at) if self.now >= at => {
                    kubelet.in_service = takes;
                    kubelet.in_service_changes_at = None;
                }
                Some(_) => {}
            }
        }
    }

    fn clients_connect(&mut self) {
        let there = self.open() + self.clients.waiting();
        if there < self.clients.population {
            let new = self.clients.population - there;
            self.clients.lost_socket(self.now, 0, new);
        } else {
            let rest = self.clients.give_up(there - self.clients.population);
            self.leave(rest);
        }
        let mut trying = self.clients.try_now(self.now);
        let takers: Vec<usize> = (0..self.servers.len())
            .filter(|&i| self.kubelets[i].in_service && self.servers[i].accepts(self.now) && !self.lost(i))
            .collect();
        let mut places = takers.len() as u64;
        for &i in &takers {
            let server = &mut self.servers[i];
            let n = (trying / places).min(self.settings.capacity.saturating_sub(server.open));
            let n = if places > 1 && trying % places > self.rng.u64(0..places) { n + 1 } else { n };
            let n = n.min(trying).min(self.settings.capacity.saturating_sub(server.open));
            server.open += n;
            trying -= n;
            places -= 1;
            self.tally.connected += n;
        }
        self.tally.refused += trying;
        let wait = self.now_and_then(self.settings.reconnect_delay);
        self.clients.lost_socket(self.now, wait, trying);
    }

    /// Clients go home, from all servers alike.
    fn leave(&mut self, mut n: u64) {
        let mut open = self.open();
        for server in &mut self.servers {
            if n == 0 || open == 0 {
                return;
            }
            let part = (u128::from(server.open) * u128::from(n)).div_ceil(u128::from(open)) as u64;
            let part = part.min(n).min(server.open);
            open -= server.open;
            server.open -= part;
            n -= part;
        }
    }

    fn controllers_act(&mut self) {
        let mut counts = vec![(0_u32, 0_u32); self.api.revisions.len()];
        for (pod, kubelet) in self.api.pods.iter().zip(&self.kubelets) {
            if pod.deleting.is_none() {
                counts[kubelet.revision].0 += 1;
                counts[kubelet.revision].1 += u32::from(pod.ready);
            }
        }
        for (r, (active, ready)) in counts.into_iter().enumerate() {
            if self.now < self.controllers[r].acts_at {
                continue;
            }
            let revision = &mut self.api.revisions[r];
            if (revision.status_replicas, revision.status_ready, revision.settled) != (active, ready, true) {
                revision.status_replicas = active;
                revision.status_ready = ready;
                revision.settled = true;
                self.controllers[r].version += 1;
                revision.resource_version = self.controllers[r].version.to_string();
            }
            let wanted = revision.replicas;
            for _ in active..wanted {
                self.create(r);
            }
            if active > wanted {
                self.delete_surplus(r, (active - wanted) as usize);
            }
        }
    }

    fn delete_surplus(&mut self, revision: usize, n: usize) {
        let mut on_node = vec![0_usize; self.nodes.len() + 1];
        let nowhere = self.nodes.len();
        let of_revision: Vec<usize> = (0..self.api.pods.len())
            .filter(|&i| self.kubelets[i].revision == revision && self.api.pods[i].deleting.is_none())
            .collect();
        for &i in &of_revision {
            on_node[self.kubelets[i].node.min(nowhere)] += 1;
        }
        let mut order = of_revision;
        order.sort_by_cached_key(|&i| {
            let seen = self.kubelets[i].late.as_ref().map_or(&self.api.pods[i], |(_, pod)| pod);
            deletion_key(seen, on_node[self.kubelets[i].node.min(nowhere)])
        });
        for i in order.into_iter().take(n) {
            let deadline = self.api.pods[i].marks.drain.as_ref().map(|d| d.deadline.as_millisecond());
            if self.servers[i].open > 0 && deadline.is_none_or(|at| self.now < at) {
                self.tally.robbed.push(self.api.pods[i].id.name.clone());
            }
            self.delete(i);
        }
    }

    fn create(&mut self, revision: usize) {
        self.serial += 1;
        let hash = self.api.revisions[revision].hash.clone();
        let mut on_node = vec![0_usize; self.nodes.len()];
        for kubelet in &self.kubelets {
            if let Some(n) = on_node.get_mut(kubelet.node) {
                *n += 1;
            }
        }
        let usable = |&n: &usize| !self.nodes[n].cordoned && self.nodes[n].lost_since.is_none();
        let node = (0..self.nodes.len()).filter(usable).min_by_key(|&n| on_node[n]);
        let jitter = self.rng.i64(0..=self.settings.start_up / 2);
        let becomes_ready = node.is_some() && !self.bad_revisions.contains(&hash);
        let mut server = Server::starting(self.now, self.settings.start_up + jitter, becomes_ready);
        if node.is_none() {
            server.runs_at = Millis::MAX;
        }
        let created = timestamp(self.now);
        self.api.pods.push(Pod {
            id: PodRef {
                name: format!("{hash}-{}", self.serial),
                uid: format!("u{}", self.serial),
                resource_version: "1".to_owned(),
                admin: Some(std::net::SocketAddr::from(([10, 0, 0, 1], 8081))),
            },
            revision: hash,
            node: node.map(|n| self.nodes[n].name.clone()),
            zone: node.map(|n| self.nodes[n].zone.clone()),
            node_state: NodeState::Fine,
            created,
            phase: PodPhase::Pending,
            ready: false,
            ready_since: created,
            broken: false,
            deleting: None,
            requested: false,
            marks: Marks { traffic: Some(Traffic::Accept), ..Marks::default() },
            sockets: None,
            report: None,
            unsure: None,
        });
        self.servers.push(server);
        self.kubelets.push(Kubelet {
            node: node.unwrap_or(usize::MAX),
            revision,
            next_scrape: self.now + self.rng.i64(0..=self.settings.scrape_every),
            ..Kubelet::default()
        });
    }
}

pub fn timestamp(at: Millis) -> Timestamp {
    Timestamp::from_millisecond(at).unwrap_or(Timestamp::MAX)
}

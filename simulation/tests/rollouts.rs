//! Rollouts with a canary, rollouts that fail, and what clients notice of them.

use jiff::SignedDuration;
use socketfleet_api::contract::Traffic;
use socketfleet_drain::{Fleet, Policy, Rollout};
use socketfleet_simulation::operator::Network;
use socketfleet_simulation::{Cluster, Operator, Settings};

const PODS: u32 = 10;
const SOCKETS: u64 = 600;

struct World {
    cluster: Cluster,
    operator: Operator,
}

impl World {
    /// Ten pods of revision `r1` with 60 of 100 sockets each.
    fn new() -> Self {
        let settings = Settings {
            step: 500,
            nodes: 4,
            zones: 2,
            capacity: 100,
            start_up: 2_000,
            grace: 60_000,
            controller_lag: 500,
            readiness_lag: 500,
            endpoints_lag: 500,
            reconnect_delay: 2_000,
            scrape_every: 2_000,
        };
        let fleet = Fleet {
            desired: PODS,
            floor: PODS,
            paused: false,
            deletion: None,
            revision: "r1".into(),
            policy: Policy {
                deadline: SignedDuration::from_secs(120),
                reconnects_per_second: Some(20.0),
                headroom: 1.1,
            },
            rollout: Rollout { max_surge: 3, paused: false, partition: 0, failed: false },
        };
        let mut world = Self { cluster: Cluster::new(settings, fleet, 7), operator: Operator::default() };
        world.run(20);
        world.cluster.clients.population = SOCKETS;
        world.run(20);
        assert_eq!((world.pods("r1"), world.cluster.open()), (10, SOCKETS));
        world
    }

    fn run(&mut self, seconds: i64) {
        for _ in 0..seconds * 2 {
            self.cluster.step();
            let observed = self.cluster.api.clone();
            self.operator.reconcile(&mut self.cluster, observed, Network::default(), None);
            assert!(self.cluster.tally.robbed.is_empty());
        }
    }

    fn rollout(&mut self) -> &mut Rollout {
        &mut self.cluster.api.fleet.rollout
    }

    fn pods(&self, revision: &str) -> usize {
        self.cluster.api.pods.iter().filter(|p| p.revision == revision).count()
    }

    /// Open sockets of a revision's pods.
    fn sockets(&self, revision: &str) -> u64 {
        let pods = self.cluster.api.pods.iter().zip(&self.cluster.servers);
        pods.filter(|(p, _)| p.revision == revision).map(|(_, s)| s.open).sum()
    }

    fn all_accept(&self) -> bool {
        self.cluster.api.pods.iter().all(|p| p.ready && p.marks.traffic == Some(Traffic::Accept))
    }

    fn nobody_was_cut(&self) -> bool {
        (self.cluster.tally.forced, self.cluster.tally.cut) == (0, 0)
    }
}

#[test]
fn a_partition_keeps_its_pods_until_it_is_lowered() {
    let mut world = World::new();
    world.cluster.api.fleet.revision = "r2".into();
    world.rollout().partition = 7;
    world.run(300);
    assert_eq!((world.pods("r1"), world.pods("r2")), (7, 3));
    assert!(world.all_accept() && world.nobody_was_cut());
    // Three pods' sockets have moved, and nobody else's.
    assert_eq!(world.cluster.tally.moved, 180);
    assert!(world.sockets("r1") >= 420 && world.sockets("r2") > 0);

    world.rollout().partition = 0;
    world.run(300);
    assert_eq!((world.pods("r1"), world.pods("r2")), (0, 10));
    // Some of the first to move went to old pods that stayed then.
    assert!(world.cluster.tally.moved <= SOCKETS + 180 && world.nobody_was_cut());
}

#[test]
fn a_whole_partition_lets_no_new_pod_in() {
    let mut world = World::new();
    world.cluster.api.fleet.revision = "r2".into();
    world.rollout().partition = PODS;
    world.run(120);
    assert_eq!((world.pods("r1"), world.pods("r2"), world.cluster.tally.moved), (10, 0, 0));
}

#[test]
fn a_canary_scales_with_the_fleet_and_its_old_pods_are_replaced_in_kind() {
    let mut world = World::new();
    world.cluster.api.fleet.revision = "r2".into();
    world.rollout().partition = 7;
    world.run(300);
    world.cluster.api.fleet.desired = 14;
    world.run(60);
    assert_eq!((world.pods("r1"), world.pods("r2")), (7, 7));
    let victim = world.cluster.api.pods.iter().position(|p| p.revision == "r1").unwrap();
    world.cluster.delete(victim);
    world.run(120);
    assert_eq!((world.pods("r1"), world.pods("r2")), (7, 7));
    world.cluster.api.fleet.desired = PODS;
    world.run(300);
    assert_eq!((world.pods("r1"), world.pods("r2")), (7, 3));
}

#[test]
fn a_rollout_that_fails_half_way_gives_the_sockets_back() {
    let mut world = World::new();
    world.cluster.api.fleet.revision = "r2".into();
    world.run(30);
    let (old, new) = (world.pods("r1"), world.sockets("r2"));
    assert!(old > 0 && new > 0, "{old} old pods, {new} sockets moved");
    world.rollout().failed = true;
    world.run(300);
    assert_eq!((world.pods("r1"), world.pods("r2")), (10, 0));
    assert_eq!(world.sockets("r1"), SOCKETS);
    assert!(world.all_accept() && world.nobody_was_cut());
}

#[test]
fn a_revision_that_never_becomes_ready_takes_no_socket_and_goes_when_it_is_judged() {
    let mut world = World::new();
    world.cluster.bad_revisions.insert("bad".into());
    world.cluster.api.fleet.revision = "bad".into();
    world.run(60);
    assert_eq!((world.pods("r1"), world.pods("bad")), (10, 3));
    world.rollout().failed = true;
    world.run(120);
    assert_eq!((world.pods("r1"), world.pods("bad"), world.cluster.tally.moved), (10, 0, 0));

    // It is tried again, and was repaired meanwhile.
    world.cluster.bad_revisions.clear();
    world.rollout().failed = false;
    world.run(300);
    assert_eq!((world.pods("r1"), world.pods("bad")), (0, 10));
    assert!(world.nobody_was_cut());
}

#[test]
fn the_last_good_pod_is_replaced_in_kind_while_the_new_revision_is_bad() {
    let mut world = World::new();
    world.cluster.clients.population = 50;
    world.cluster.api.fleet.desired = 1;
    world.cluster.api.fleet.floor = 1;
    world.run(300);
    world.cluster.bad_revisions.insert("bad".into());
    world.cluster.api.fleet.revision = "bad".into();
    world.run(20);
    let good = world.cluster.api.pods.iter().position(|p| p.revision == "r1").unwrap();
    world.cluster.delete(good);
    world.run(120);
    assert_eq!((world.pods("r1"), world.sockets("r1")), (1, 50));
    assert!(world.nobody_was_cut());
}

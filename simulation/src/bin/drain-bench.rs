//! How long the operator thinks: decisions for 2,000 pods in the states that cost most. Fails when the 99th percentile of
//! one is above 10 ms of computing.

use std::process::ExitCode;
use std::time::Duration;

use jiff::SignedDuration;
use rustix::time::{ClockId, clock_gettime};
use socketfleet_drain::{Fleet, Policy, Rollout, next_actions};
use socketfleet_simulation::operator::Network;
use socketfleet_simulation::{Cluster, Operator, Settings};

const PODS: u32 = 2_000;
const SOCKETS: u64 = 3_000;
const RUNS: usize = 500;
const LIMIT: Duration = Duration::from_millis(10);

/// A name, and what brings a fleet at rest there.
type Case = (&'static str, fn(&mut World));

fn main() -> ExitCode {
    println!("drain decisions for {PODS} pods, {RUNS} each:");
    println!("  {:<44} {:>9} {:>9} {:>9}", "state", "actions", "median", "p99");
    let mut all_fast = true;
    let cases: [Case; 6] = [
        ("at rest", |_| {}),
        ("a rollout begins", |w| {
            w.cluster.api.fleet.revision = "r2".into();
            w.run_until(|w| w.cluster.api.pods.iter().any(|p| p.revision == "r2" && p.ready));
        }),
        ("in mid-rollout", |w| {
            w.cluster.api.fleet.revision = "r2".into();
            w.run(90);
        }),
        ("half of the pods are too many", |w| w.cluster.api.fleet.desired = PODS / 2),
        ("half of the pods drain", |w| {
            w.cluster.api.fleet.desired = PODS / 2;
            w.run(20);
        }),
        ("all pods are cordoned", |w| {
            w.cluster.nodes.iter_mut().for_each(|n| n.cordoned = true);
            w.cluster.step();
        }),
    ];
    for (name, prepare) in cases {
        let mut world = World::new();
        prepare(&mut world);
        let (observed, now) = (&world.cluster.api, world.cluster.timestamp());
        let mut took = Vec::with_capacity(RUNS);
        let mut actions = 0;
        for _ in 0..RUNS {
            let begun = thread_time();
            let decision = next_actions(observed, now);
            took.push(thread_time() - begun);
            actions = decision.actions.len();
        }
        took.sort_unstable();
        let (median, p99) = (took[RUNS / 2], took[RUNS * 99 / 100]);
        println!("  {name:<44} {actions:>9} {:>9} {:>9}", millis(median), millis(p99));
        all_fast &= p99 <= LIMIT;
    }
    if all_fast {
        ExitCode::SUCCESS
    } else {
        println!("FAILED: a decision takes longer than {}", millis(LIMIT));
        ExitCode::FAILURE
    }
}

/// Time that this thread has computed: what others do on the machine does not count.
fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

fn millis(d: Duration) -> String {
    format!("{:.2} ms", d.as_secs_f64() * 1e3)
}

/// 2,000 pods with 3,000 of 6,250 sockets each, and a budget that moves many pods at once.
struct World {
    cluster: Cluster,
    operator: Operator,
}

impl World {
    fn new() -> Self {
        let settings = Settings {
            step: 1_000,
            nodes: 300,
            zones: 3,
            capacity: 6_250,
            start_up: 5_000,
            grace: 315_000,
            controller_lag: 500,
            readiness_lag: 500,
            endpoints_lag: 500,
            reconnect_delay: 5_000,
            scrape_every: 2_000,
        };
        let policy = Policy {
            deadline: SignedDuration::from_secs(300),
            reconnects_per_second: Some(40_000.0),
            headroom: 1.1,
        };
        let fleet = Fleet {
            desired: PODS,
            floor: 1,
            paused: false,
            deletion: None,
            revision: "r1".into(),
            policy,
            rollout: Rollout { max_surge: PODS / 4, paused: false, partition: 0, failed: false },
        };
        let mut world = Self { cluster: Cluster::new(settings, fleet, 1), operator: Operator::default() };
        world.cluster.clients.population = u64::from(PODS) * SOCKETS;
        world.run(60);
        world
    }

    fn run(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.cluster.step();
            let observed = self.cluster.api.clone();
            self.operator.reconcile(&mut self.cluster, observed, Network::default(), None);
        }
    }

    fn run_until(&mut self, reached: impl Fn(&Self) -> bool) {
        for _ in 0..60 {
            if reached(self) {
                return;
            }
            self.run(1);
        }
    }
}

//! The arithmetic of the HorizontalPodAutoscaler for an Object metric with AverageValue
//! (`pkg/controller/podautoscaler` of Kubernetes: `replica_calculator.go`, `horizontal.go`).

use std::collections::VecDeque;

use crate::server::Millis;

/// An autoscaler with Kubernetes' defaults: it goes up by at most a doubling or four pods in 15 seconds, and down to the
/// highest proposal of the last five minutes, by as much as the policy allows.
#[derive(Clone, Debug)]
pub struct Hpa {
    pub min: u32,
    pub max: u32,
    /// Open sockets for each pod that it aims at.
    pub target: u64,
    /// How fast it goes down.
    pub down: Policy,
    /// Proposals of the last five minutes: the highest holds on the way down.
    window: VecDeque<(Millis, u32)>,
    /// What was changed, and when.
    changes: VecDeque<(Millis, i64)>,
}

/// At most this share of the pods in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub percent: u32,
    pub period: Millis,
}

/// How often the controller looks.
pub const SYNC: Millis = 15_000;
const STABILIZATION: Millis = 300_000;
const TOLERANCE: f64 = 0.1;
/// Kubernetes' own: all of them in 15 seconds.
const DOWN: Policy = Policy { percent: 100, period: 15_000 };
const UP: Policy = Policy { percent: 100, period: 15_000 };
/// Going up, this many are always allowed in the period.
const UP_PODS: u32 = 4;

impl Hpa {
    pub fn new(min: u32, max: u32, target: u64) -> Self {
        Self { min, max, target, down: DOWN, window: VecDeque::new(), changes: VecDeque::new() }
    }

    /// What `spec.replicas` becomes. `status_replicas` is the base of the tolerance; within it the proposal
    /// is that number.
    pub fn scale(&mut self, now: Millis, spec_replicas: u32, status_replicas: u32, sockets: u64) -> u32 {
        let usage = sockets as f64 / (self.target as f64 * f64::from(status_replicas.max(1)));
        let proposal = if (usage - 1.0).abs() <= TOLERANCE {
            status_replicas
        } else {
            u32::try_from(sockets.div_ceil(self.target)).unwrap_or(u32::MAX)
        };
        self.window.retain(|(at, _)| now - at < STABILIZATION);
        self.window.push_back((now, proposal));
        let highest = self.window.iter().map(|(_, n)| *n).max().unwrap_or(proposal);
        let stabilized = if proposal < spec_replicas { highest.min(spec_replicas) } else { proposal };
        let wanted = if stabilized < spec_replicas {
            stabilized.max(self.lowest(now, spec_replicas))
        } else {
            stabilized.min(self.highest(now, spec_replicas))
        };
        let wanted = wanted.clamp(self.min, self.max);
        let kept = self.down.period.max(UP.period);
        self.changes.retain(|(at, _)| now - at < kept);
        if wanted != spec_replicas {
            self.changes.push_back((now, i64::from(wanted) - i64::from(spec_replicas)));
        }
        wanted
    }

    /// What the policy for the way down allows: a share of the number at the beginning of the period.
    fn lowest(&self, now: Millis, replicas: u32) -> u32 {
        let start = self.at_start_of(now, self.down.period, replicas);
        start - u32::try_from(u64::from(start) * u64::from(self.down.percent) / 100).unwrap_or(start)
    }

    fn highest(&self, now: Millis, replicas: u32) -> u32 {
        let start = self.at_start_of(now, UP.period, replicas);
        (start + start * UP.percent / 100).max(start + UP_PODS)
    }

    fn at_start_of(&self, now: Millis, period: Millis, replicas: u32) -> u32 {
        let changed: i64 = self.changes.iter().filter(|(at, _)| now - at < period).map(|(_, n)| n).sum();
        u32::try_from(i64::from(replicas) - changed).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proposals_are_those_seen_on_a_cluster() {
        for (sockets, pods) in [(250, 3), (331, 4), (451, 5), (1050, 11)] {
            assert_eq!(Hpa::new(1, 20, 100).scale(0, pods, 1, sockets), pods, "{sockets}");
        }
    }

    #[test]
    fn what_was_proposed_lately_holds_on_the_way_down() {
        let mut hpa = Hpa::new(1, 20, 100);
        assert_eq!(hpa.scale(0, 5, 5, 500), 5);
        assert_eq!(hpa.scale(15_000, 5, 5, 200), 5);
        assert_eq!(hpa.scale(300_000, 5, 5, 200), 2);
    }

    #[test]
    fn within_the_tolerance_it_proposes_the_status() {
        assert_eq!(Hpa::new(1, 20, 100).scale(0, 3, 4, 420), 4);
    }

    #[test]
    fn it_doubles_at_most() {
        let mut hpa = Hpa::new(1, 100, 100);
        assert_eq!(hpa.scale(0, 10, 10, 9_000), 20);
        assert_eq!(hpa.scale(5_000, 20, 20, 9_000), 20, "within the same period");
        assert_eq!(hpa.scale(15_000, 20, 20, 9_000), 40);
    }

    #[test]
    fn it_goes_down_by_its_policy() {
        let mut hpa = Hpa::new(1, 100, 100);
        hpa.down = Policy { percent: 10, period: 60_000 };
        assert_eq!(hpa.scale(0, 100, 100, 1_000), 90);
        assert_eq!(hpa.scale(15_000, 90, 90, 1_000), 90);
        assert_eq!(hpa.scale(60_000, 90, 90, 1_000), 81);
    }
}

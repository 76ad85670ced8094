//! The arithmetic of the HorizontalPodAutoscaler for an Object metric with AverageValue.

use std::collections::VecDeque;

use crate::server::Millis;

/// An autoscaler with Kubernetes' defaults.
#[derive(Clone, Debug)]
pub struct Hpa {
    pub min: u32,
    pub max: u32,
    /// Open sockets for each pod that it aims at.
    pub target: u64,
    /// Proposals of the last five minutes: the highest holds on the way down.
    window: VecDeque<(Millis, u32)>,
}

const STABILIZATION: Millis = 300_000;
const TOLERANCE: f64 = 0.1;

impl Hpa {
    pub fn new(min: u32, max: u32, target: u64) -> Self {
        Self { min, max, target, window: VecDeque::new() }
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
        let wanted = if proposal < spec_replicas { highest.min(spec_replicas) } else { proposal };
        // At most a doubling, or four pods, in 15 seconds.
        let most = (spec_replicas * 2).max(spec_replicas + 4);
        wanted.min(most).clamp(self.min, self.max)
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
}

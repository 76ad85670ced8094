//! Which changes of a fleet's counts are worth a reconcile. Pure.
//!
//! Each answer of a pod is compared with that pod's last one only: a fleet of thousands costs no more for
//! each answer than a small one.

use socketfleet_api::contract::DrainPhase;

use super::{Count, PodCount};

/// Change of the total that is worth showing: one part in this many.
const SHOWN_STEP: u64 = 100;

/// What of a pod's count matters to its fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    level: Level,
    serving: bool,
    open: u64,
    capacity: u64,
}

/// A pod's state, coarse enough not to change with every socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    NotRunning,
    Missing,
    Known { phase: DrainPhase, fill: Fill },
}

/// How full a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    Empty,
    /// Steps of ten per cent of the capacity up to 90 %, then of five: [`is_saturated`](super::is_saturated)
    /// changes at 90 and 95 %.
    Percent(u128),
    /// Sockets left in a drain: each of them counts.
    Left(u64),
}

impl Noted {
    pub(super) fn of(pod: &PodCount) -> Self {
        let level = match &pod.count {
            Count::NotRunning => Level::NotRunning,
            Count::Missing { .. } => Level::Missing,
            Count::Known(reading) => {
                let fill = match (reading.open, reading.percent()) {
                    (0, _) => Fill::Empty,
                    (left, _) if reading.drains() => Fill::Left(left),
                    (_, percent) if percent < 90 => Fill::Percent(percent / 10 * 10),
                    (_, percent) => Fill::Percent((percent / 5 * 5).min(100)),
                };
                Level::Known { phase: reading.drain.phase, fill }
            }
        };
        Self { level, serving: pod.serving, open: pod.open(), capacity: pod.serving_capacity() }
    }

    /// Whether this pod alone gives reason to look again.
    fn differs_materially(&self, before: &Self) -> bool {
        let Self { level, serving, open: _, capacity } = self;
        (*level, *serving, *capacity) != (before.level, before.serving, before.capacity)
    }
}

/// The sum over a fleet's pods, kept up to date pod by pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    open: u64,
    missing: usize,
    /// What [`announce`](Self::announce) last said yes to.
    announced_open: u64,
    announced_doubt: bool,
    /// A pod came, went or changed materially since then.
    pods_changed: bool,
}

impl Sums {
    /// Takes in that a pod is `now` what it was `before`; `None` where there is no such pod.
    pub(super) fn replace(&mut self, before: Option<&Noted>, now: Option<&Noted>) {
        let missing = |noted: Option<&Noted>| usize::from(noted.is_some_and(|n| n.level == Level::Missing));
        let open = |noted: Option<&Noted>| noted.map_or(0, |n| n.open);
        self.open = self.open.saturating_sub(open(before)).saturating_add(open(now));
        self.missing = self.missing.saturating_sub(missing(before)) + missing(now);
        self.pods_changed |= match (before, now) {
            (Some(before), Some(now)) => now.differs_materially(before),
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        };
    }

    /// Pods whose count should be known and is not.
    pub(super) fn missing(&self) -> usize {
        self.missing
    }

    /// Whether somebody who acted on what was announced last should look again. `elsewhere` is what
    /// Prometheus counts, and `doubt` whether there is more of it than missing pods.
    pub(super) fn announce(&mut self, elsewhere: u64, doubt: bool) -> bool {
        let (open, doubt) = (self.open.max(elsewhere), doubt || self.missing > 0);
        let material = self.pods_changed
            || doubt != self.announced_doubt
            || open.abs_diff(self.announced_open) > self.announced_open / SHOWN_STEP;
        if material {
            (self.announced_open, self.announced_doubt, self.pods_changed) = (open, doubt, false);
        }
        material
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(open: u64) -> Noted {
        let fill = Fill::Percent(u128::from(open / 100 * 10));
        let level = Level::Known { phase: DrainPhase::Serving, fill };
        Noted { level, serving: true, open, capacity: 1_000 }
    }

    #[test]
    fn sums_follow_pods_that_come_change_and_go() {
        let mut sums = Sums::default();
        sums.replace(None, Some(&pod(500)));
        sums.replace(None, Some(&Noted { level: Level::Missing, ..pod(300) }));
        assert_eq!((sums.open, sums.missing), (800, 1));
        sums.replace(Some(&Noted { level: Level::Missing, ..pod(300) }), Some(&pod(310)));
        sums.replace(Some(&pod(500)), None);
        assert_eq!((sums.open, sums.missing), (310, 0));
    }

    #[test]
    fn many_small_changes_add_up_to_one_that_is_announced() {
        let mut sums = Sums::default();
        sums.replace(None, Some(&pod(510)));
        assert!(sums.announce(0, false));
        for open in 511..=515 {
            sums.replace(Some(&pod(open - 1)), Some(&pod(open)));
            assert!(!sums.announce(0, false), "{open}");
        }
        sums.replace(Some(&pod(515)), Some(&pod(516)));
        assert!(sums.announce(0, false));
        assert!(!sums.announce(0, false));
    }

    #[test]
    fn doubt_is_announced_when_it_comes_and_when_it_goes() {
        let mut sums = Sums::default();
        assert!(!sums.announce(0, false));
        assert!(sums.announce(0, true));
        assert!(!sums.announce(0, true));
        assert!(sums.announce(0, false));
    }
}

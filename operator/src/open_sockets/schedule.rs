//! When a pod is asked again. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Between two looks at a pod that serves, in a small installation.
const INTERVAL: Duration = Duration::from_secs(2);
/// Between two looks at a pod that drains: a drain should end when the last socket goes.
const DRAINING: Duration = Duration::from_millis(400);
/// Between two looks at a pod that does not answer, at most.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Looks per second at all pods together: beyond it the interval grows, so that CPU stays small.
const LOOKS_PER_SECOND: f64 = 400.0;
/// The same while nothing happens in any fleet, shared out evenly over the fleets. Of 500 fleets each is then looked at
/// every 20 s, and the kubelet tells of pods that fail.
const LOOKS_PER_SECOND_AT_REST: f64 = 25.0;
/// A fleet rests when the counts of none of its pods have changed for this long.
pub(super) const REST_AFTER: Duration = Duration::from_secs(60);
/// Share by which an interval is made shorter or longer at random, so that pods that were started together
/// are not asked together for ever.
const JITTER: f64 = 0.1;
/// Intervals without an answer after which a count is stale.
const STALE_INTERVALS: u32 = 3;
/// A count is not stale before this, however short the interval.
const STALE_MIN: Duration = Duration::from_secs(8);

/// Turns at least so far ahead are taken at whole multiples of so long, a tenth: then others are due too.
const GRIDS: [(Duration, Duration); 2] =
    [(Duration::from_secs(10), Duration::from_secs(1)), (Duration::from_secs(1), Duration::from_millis(100))];

/// How long to wait for a turn that should come in `delay`, `since` a fixed instant: up to a tenth less, until others are
/// due too. Waking the process for one look costs four times what the look itself does.
pub(super) fn together(since: Duration, delay: Duration) -> Duration {
    let grid = GRIDS.iter().find(|(far, _)| delay >= *far);
    grid.map_or(delay, |(_, grid)| {
        let beyond = (since + delay).as_nanos() % grid.as_nanos();
        delay - Duration::from_nanos(beyond as u64)
    })
}

/// How much a pod matters now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attention {
    /// Nothing happens in its fleet; the first change in one pod has all of them asked.
    Resting,
    /// It serves.
    Steady,
    /// It drains.
    Close,
}

/// How fast the pods of a fleet are asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    interval: Duration,
    resting: Duration,
}

impl Pace {
    /// For a fleet of `of_fleet` pods, where there are `fleets` with `pods` in all.
    pub(super) fn new(pods: usize, fleets: usize, of_fleet: usize) -> Self {
        let shared = |looks: usize, per_second| Duration::from_secs_f64(looks as f64 / per_second);
        let interval = INTERVAL.max(shared(pods, LOOKS_PER_SECOND));
        // A fleet of few pods is noticed as soon as one of many; one of very many takes no more than its share.
        let by_fleets = shared(of_fleet.saturating_mul(fleets), LOOKS_PER_SECOND_AT_REST);
        let by_pods = shared(pods, LOOKS_PER_SECOND_AT_REST);
        Self { interval, resting: interval.max(by_fleets.min(by_pods)) }
    }

    /// How long to wait before a pod is asked again that has failed to answer `failures` times in a row.
    /// `random` is in `0.0..1.0`.
    pub(super) fn delay(&self, attention: Attention, failures: u32, random: f64) -> Duration {
        let base = match (failures, attention) {
            (0, Attention::Close) => DRAINING,
            (0, Attention::Steady) => self.interval,
            (0, Attention::Resting) => self.resting,
            (n, _) => {
                let doubled = INTERVAL.saturating_mul(1 << (n - 1).min(10));
                doubled.min(BACKOFF_MAX).max(self.interval)
            }
        };
        base.mul_f64(1.0 - JITTER + 2.0 * JITTER * random)
    }

    /// When a count is stale that was given at `answered`, of a pod that has not answered since `silent`: after some
    /// questions in vain, whatever the pace before. With `None` it has answered the last question.
    pub(super) fn stale_at(&self, answered: Instant, silent: Option<Instant>) -> Instant {
        let age = |interval: Duration| interval.saturating_mul(STALE_INTERVALS).max(STALE_MIN);
        match silent {
            None => answered + age(self.resting),
            Some(silent) => {
                // A pod that was asked at the usual pace gave its last answer not before this.
                let usual = silent.checked_sub(self.interval.mul_f64(1.0 + JITTER));
                usual.map_or(answered, |usual| usual.max(answered)) + age(self.interval)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: f64 = 0.5;

    #[test]
    fn serving_pods_are_asked_every_two_seconds_and_draining_ones_sooner() {
        let pace = Pace::new(10, 1, 10);
        assert_eq!(pace.delay(Attention::Steady, 0, MIDDLE), Duration::from_secs(2));
        assert_eq!(pace.delay(Attention::Close, 0, MIDDLE), Duration::from_millis(400));
    }

    #[test]
    fn pods_that_do_not_answer_are_asked_ever_less_down_to_twice_a_minute() {
        let pace = Pace::new(10, 1, 10);
        let delays: Vec<u64> = (1..=7).map(|n| pace.delay(Attention::Close, n, MIDDLE).as_secs()).collect();
        assert_eq!(delays, [2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(pace.delay(Attention::Steady, u32::MAX, MIDDLE), BACKOFF_MAX);
    }

    #[test]
    fn thousands_of_pods_share_the_looks_per_second() {
        let pace = Pace::new(5_000, 500, 10);
        assert_eq!(pace.delay(Attention::Steady, 0, MIDDLE), Duration::from_millis(12_500));
        assert_eq!(pace.delay(Attention::Resting, 0, MIDDLE), Duration::from_secs(200));
        let small = Pace::new(5_000, 500, 2);
        assert_eq!(
            small.delay(Attention::Resting, 0, MIDDLE),
            Duration::from_secs(40),
            "the same for the fleet"
        );
        let large = Pace::new(5_000, 500, 4_000);
        assert_eq!(large.delay(Attention::Resting, 0, MIDDLE), Duration::from_secs(200));
    }

    #[tokio::test(start_paused = true)]
    async fn a_count_is_stale_after_some_questions_in_vain() {
        let (small, large) = (Pace::new(10, 1, 10), Pace::new(5_000, 500, 10));
        let answered = Instant::now() + Duration::from_secs(1_000);
        let after = |seconds| answered + Duration::from_secs(seconds);
        assert_eq!(small.stale_at(answered, Some(after(2))), after(8));
        let late = small.delay(Attention::Steady, 0, 1.0);
        assert_eq!(small.stale_at(answered, Some(answered + late)), after(8), "jitter makes no difference");
        assert_eq!(large.stale_at(answered, Some(after(12))), after(37) + Duration::from_millis(500));
        // It was asked at rest, for the first time after 50 s.
        assert_eq!(large.stale_at(answered, Some(after(50))), after(73) + Duration::from_millis(750));
        assert_eq!(large.stale_at(answered, None), after(600), "nobody has asked");
    }

    #[test]
    fn turns_fall_together_and_none_is_late() {
        let millis = Duration::from_millis;
        for (since, delay, due) in [
            (5_370, 20_000, 25_000),
            (5_370, 10_629, 15_000),
            (5_370, 10_630, 16_000),
            (5_370, 2_000, 7_300),
            (5_370, 2_030, 7_400),
            (5_370, 999, 6_369),
            (5_370, 0, 5_370),
        ] {
            assert_eq!(millis(since) + together(millis(since), millis(delay)), millis(due), "{delay}");
        }
    }

    #[test]
    fn jitter_spreads_by_a_tenth_either_way() {
        let pace = Pace::new(1, 1, 1);
        assert_eq!(pace.delay(Attention::Steady, 0, 0.0), Duration::from_millis(1_800));
        assert_eq!(pace.delay(Attention::Steady, 0, 1.0), Duration::from_millis(2_200));
    }
}

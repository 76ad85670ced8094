//! A rate limit in one instant: the generic cell rate algorithm.

use std::time::{Duration, Instant};

/// So much may be done at once as in this many of the rate's times.
const BURST: f64 = 2.0;

/// How often something may be done.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Between two that are evenly spaced.
    interval: Duration,
    /// How far ahead of the even spacing one may be.
    tolerance: Duration,
}

impl Rate {
    /// `count` in each `period`, and twice as many at once.
    pub fn per(period: Duration, count: f64) -> Self {
        let interval = period.div_f64(count);
        Self { interval, tolerance: period.mul_f64(BURST).saturating_sub(interval) }
    }
}

/// What has been spent of a rate: when all of it will have been evenly spaced.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent(Option<Instant>);

impl Spent {
    /// Spends one.
    ///
    /// # Errors
    /// How long to wait, when that is too early.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let even = self.0.map_or(now, |even| even.max(now));
        let ahead = even.saturating_duration_since(now);
        if ahead > rate.tolerance {
            return Err(ahead - rate.tolerance);
        }
        self.0 = Some(even + rate.interval);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_rate_at_once_and_then_the_rate() {
        let rate = Rate::per(Duration::from_secs(1), 10.0);
        let (mut spent, start) = (Spent::default(), Instant::now());
        let at_once = (0..100).filter(|_| spent.take(rate, start).is_ok()).count();
        assert_eq!(at_once, 20);
        assert_eq!(spent.take(rate, start), Err(Duration::from_millis(100)));
        let later =
            (1..=1_000).filter(|ms| spent.take(rate, start + Duration::from_millis(*ms)).is_ok()).count();
        assert_eq!(later, 10);
    }

    #[test]
    fn slow_ones_never_wait() {
        let rate = Rate::per(Duration::from_secs(60), 1.0);
        let (mut spent, start) = (Spent::default(), Instant::now());
        for minute in 0..100 {
            assert_eq!(spent.take(rate, start + Duration::from_secs(60 * minute)), Ok(()));
        }
    }
}

//! A token bucket that lets sockets go smoothly: its burst is a few hundredths of a second.

use std::time::{Duration, Instant};

/// What may leave at once after a pause, as time at the rate, besides the one socket that is being waited for.
pub const BURST: Duration = Duration::from_millis(50);

/// Over any span of `t` seconds at a rate `r` it gives out at most `r·t + 1 + r·BURST`.
#[derive(Debug)]
pub struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A bucket that fills from `now` on.
    pub fn empty(now: Instant) -> Self {
        Self { tokens: 0.0, filled: now }
    }

    /// Whole tokens at hand, after filling at `rate` a second since the last call.
    pub fn available(&mut self, now: Instant, rate: f64) -> u64 {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        let most = 1.0 + rate * BURST.as_secs_f64();
        self.tokens = (self.tokens + rate * elapsed).min(most);
        self.filled = self.filled.max(now);
        // Sums of floats end a hair below the whole number that they mean.
        (self.tokens + 1e-9) as u64
    }

    /// Takes tokens that were [available](Self::available).
    pub fn take(&mut self, tokens: u64) {
        self.tokens = (self.tokens - tokens as f64).max(0.0);
    }

    /// Fills from `now` on, keeping what it holds.
    pub fn restart(&mut self, now: Instant) {
        self.filled = self.filled.max(now);
    }
}

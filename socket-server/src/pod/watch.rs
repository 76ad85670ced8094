//! Looks after the process while it serves: the event loop's lag, and memory before it runs out.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Pod;
use crate::process::memory::Sample;

/// Between two measurements of the lag.
const TICK: Duration = Duration::from_millis(100);
/// Memory is looked at once in so many ticks.
const TICKS_PER_SAMPLE: u32 = 10;

/// Watches for as long as it is polled.
pub async fn watch(pod: &Pod) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for count in 0u32.. {
        let due = ticks.tick().await;
        pod.timings.event_loop_lag.observe(Instant::now().saturating_duration_since(due));
        if count % TICKS_PER_SAMPLE == 0 {
            look_at_memory(pod);
        }
    }
}

fn look_at_memory(pod: &Pod) {
    let Some(Sample { rss, used }) = pod.probe.sample() else { return };
    pod.rss.store(rss, Relaxed);
    let Some(limit) = pod.probe.limit() else { return };
    let before = pod.sockets.shedding();
    let after = before.next(used, limit);
    if after != before {
        tracing::warn!(?before, ?after, used, limit, "memory: what is given up has changed");
    }
    pod.sockets.shed(after);
}

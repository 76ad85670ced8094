//! Looks after the process while it serves: the event loop's lag, and memory before it runs out.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::Pod;
use crate::process::memory::Sample;
use crate::ticker;

/// Between two measurements of the lag.
const TICK: Duration = Duration::from_millis(100);
/// Memory is looked at once in so many ticks.
const TICKS_PER_SAMPLE: u32 = 10;

/// Watches for as long as the pod is used by anybody else.
pub fn watch(pod: &Arc<Pod>) {
    let pod = Arc::downgrade(pod);
    let mut ticks_left = 0;
    ticker::every("watch", TICK, move || {
        let Some(pod) = pod.upgrade() else { return ControlFlow::Break(()) };
        if ticks_left == 0 {
            ticks_left = TICKS_PER_SAMPLE;
            look_at_memory(&pod);
        }
        ticks_left -= 1;
        let due = Instant::now();
        tokio::spawn(async move { pod.timings.event_loop_lag.observe(due.elapsed()) });
        ControlFlow::Continue(())
    });
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

//! Looks after the process while it serves: the event loop's lag, and memory before it runs out.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::Pod;
use crate::process::memory::{Sample, Shedding};
use crate::ticker;

/// Between two measurements of the lag.
const TICK: Duration = Duration::from_millis(100);
/// While memory is short, clients are closed once in so many ticks: it takes a moment until they have gone.
const TICKS_PER_CLOSE: u32 = 10;
/// Share of the limit, in percent, up to which the allocator may keep memory that is not in use.
const KEEPS_UP_TO: u64 = 50;

/// Watches for as long as the pod is used by anybody else. `keep_unused_memory` tells the allocator whether it may keep what
/// is not in use, again and again while it may not.
pub fn watch(pod: &Arc<Pod>, keep_unused_memory: fn(bool)) {
    let pod = Arc::downgrade(pod);
    let mut memory = MemoryWatch { keeps: true, ticks_to_close: 0, keep_unused_memory };
    ticker::every("watch", TICK, move || {
        let Some(pod) = pod.upgrade() else { return ControlFlow::Break(()) };
        memory.tick(&pod);
        let due = Instant::now();
        tokio::spawn(async move { pod.timings.event_loop_lag.observe(due.elapsed()) });
        ControlFlow::Continue(())
    });
}

struct MemoryWatch {
    keeps: bool,
    ticks_to_close: u32,
    keep_unused_memory: fn(bool),
}

impl MemoryWatch {
    fn tick(&mut self, pod: &Pod) {
        self.ticks_to_close = self.ticks_to_close.saturating_sub(1);
        let Some(Sample { rss, used }) = pod.probe.sample() else { return };
        pod.rss.store(rss, Relaxed);
        let Some(limit) = pod.probe.limit() else { return };
        let keeps = used <= limit / 100 * KEEPS_UP_TO;
        if !keeps || !self.keeps {
            (self.keep_unused_memory)(keeps);
        }
        self.keeps = keeps;
        let before = pod.sockets.shedding();
        let after = before.next(used, limit);
        if after != before {
            tracing::warn!(?before, ?after, used, limit, "memory: what is given up has changed");
            pod.sockets.shed(after);
        }
        if after > Shedding::None {
            self.collect_on_workers();
        }
        if after >= Shedding::CloseSlowest && self.ticks_to_close == 0 {
            pod.sockets.close_slowest(Shedding::excess(used, limit));
            self.ticks_to_close = TICKS_PER_CLOSE;
        }
    }

    /// Each thread has memory of its own in the allocator, and one that idles gives nothing back: clients that were closed
    /// could not come back for as long as that. Busy or not, the workers share these tasks.
    fn collect_on_workers(&self) {
        let collect = self.keep_unused_memory;
        for _ in 0..Handle::current().metrics().num_workers() {
            tokio::spawn(async move { collect(false) });
        }
    }
}

//! How much memory the process uses, and what to give up when the limit comes near.

use std::fs;

use super::cgroup::MemoryCgroup;

/// What is given up for want of memory; each stage includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shedding {
    /// Nothing.
    #[default]
    None,
    /// New connections are refused.
    RefuseNew,
    /// Volatile events are dropped.
    DropVolatile,
    /// The connections with the most bytes waiting are closed; their sessions can be recovered.
    CloseSlowest,
}

/// Share of the limit, in percent, at which each stage begins.
const BEGINS: [(u64, Shedding); 3] =
    [(96, Shedding::CloseSlowest), (93, Shedding::DropVolatile), (90, Shedding::RefuseNew)];
/// A stage ends this many percent below its beginning, so that it does not flutter.
const HYSTERESIS: u64 = 3;

impl Shedding {
    /// The stage after `self` when `used` of `limit` bytes are in use.
    pub fn next(self, used: u64, limit: u64) -> Self {
        let percent = (u128::from(used) * 100 / u128::from(limit.max(1))) as u64;
        let stage = |slack: u64| {
            BEGINS.iter().find(|(begin, _)| percent + slack >= *begin).map_or(Self::None, |(_, stage)| *stage)
        };
        stage(0).max(self.min(stage(HYSTERESIS)))
    }

    /// Bytes that are to be freed so that nothing has to be given up any more.
    pub fn excess(used: u64, limit: u64) -> u64 {
        let [.., (refuses, _)] = BEGINS;
        used.saturating_sub(limit / 100 * (refuses - HYSTERESIS))
    }
}

/// One look at the process's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Resident set size, bytes.
    pub rss: u64,
    /// What counts against the limit, bytes.
    pub used: u64,
}

/// Samples the memory of this process.
#[derive(Debug)]
pub struct MemoryProbe {
    cgroup: Option<MemoryCgroup>,
    page_size: u64,
}

impl MemoryProbe {
    /// Finds the limit once: it belongs to the container.
    pub fn new() -> Self {
        Self { cgroup: MemoryCgroup::of_this_process(), page_size: rustix::param::page_size() as u64 }
    }

    /// The cgroup's limit, bytes.
    pub fn limit(&self) -> Option<u64> {
        self.cgroup.as_ref().map(|group| group.limit)
    }

    /// Reads the present figures; `None` where there is no `/proc`.
    pub fn sample(&self) -> Option<Sample> {
        let statm = fs::read_to_string("/proc/self/statm").ok()?;
        let rss = statm.split(' ').nth(1)?.parse::<u64>().ok()? * self.page_size;
        let used = self.cgroup.as_ref().and_then(MemoryCgroup::working_set).unwrap_or(rss);
        Some(Sample { rss, used })
    }
}

impl Default for MemoryProbe {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_begin_at_their_share_of_the_limit() {
        for (used, stage) in [
            (0, Shedding::None),
            (899, Shedding::None),
            (900, Shedding::RefuseNew),
            (930, Shedding::DropVolatile),
            (960, Shedding::CloseSlowest),
            (2_000, Shedding::CloseSlowest),
        ] {
            assert_eq!(Shedding::None.next(used, 1_000), stage, "{used} of 1,000");
        }
    }

    #[test]
    fn stages_end_below_where_they_began() {
        let refusing = Shedding::None.next(900, 1_000);
        assert_eq!(refusing.next(880, 1_000), Shedding::RefuseNew);
        assert_eq!(refusing.next(869, 1_000), Shedding::None);
        let closing = Shedding::None.next(960, 1_000);
        assert_eq!(closing.next(940, 1_000), Shedding::CloseSlowest);
        assert_eq!(closing.next(920, 1_000), Shedding::DropVolatile);
        assert_eq!(closing.next(500, 1_000), Shedding::None);
    }

    #[test]
    fn what_is_too_much_is_what_lies_above_the_end_of_all_stages() {
        assert_eq!(Shedding::excess(960, 1_000), 90);
        assert_eq!(Shedding::CloseSlowest.next(960 - 90 - 1, 1_000), Shedding::None);
        assert_eq!(Shedding::excess(800, 1_000), 0);
    }

    #[test]
    fn this_process_uses_some_memory() {
        let sample = MemoryProbe::new().sample().expect("/proc is there");
        assert!(sample.rss > 100_000, "{sample:?}");
    }
}

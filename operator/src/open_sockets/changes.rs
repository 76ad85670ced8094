//! Which changes of a fleet's counts are worth a reconcile. Pure.

use std::collections::BTreeMap;

use socketfleet_api::contract::DrainPhase;

use super::{Count, FleetCounts};

/// Change of the total that is worth showing: one part in this many.
const SHOWN_STEP: u64 = 100;

/// What of a fleet's counts calls for action when it changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Digest {
    pods: BTreeMap<String, Level>,
    in_doubt: bool,
    open: u64,
    capacity: u64,
}

/// A pod's state, coarse enough not to change with every socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    NotRunning,
    Missing,
    /// Phase of the server's own drain; sockets left in a drain count one by one, else only in coarse steps.
    Known {
        phase: DrainPhase,
        fill: Fill,
    },
}

/// How full a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    Empty,
    /// Steps of ten per cent of the capacity up to 90 %, then of five: [`is_saturated`](super::is_saturated)
    /// changes at 90 and 95 %.
    Percent(u128),
    /// Sockets left in a drain.
    Left(u64),
}

impl Digest {
    /// The digest of these counts.
    pub fn of(counts: &FleetCounts) -> Self {
        let level = |count: &Count| match count {
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
        let totals = counts.totals();
        Self {
            pods: counts.pods.iter().map(|(uid, pod)| (uid.clone(), level(&pod.count))).collect(),
            in_doubt: totals.doubt.is_some(),
            open: totals.open,
            capacity: totals.capacity,
        }
    }

    /// Whether somebody who acted on `before` should look again.
    pub fn differs_materially(&self, before: &Self) -> bool {
        let Self { pods, in_doubt, open, capacity } = self;
        *pods != before.pods
            || *in_doubt != before.in_doubt
            || *capacity != before.capacity
            || open.abs_diff(before.open) > before.open / SHOWN_STEP
    }
}

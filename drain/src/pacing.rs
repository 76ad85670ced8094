//! One budget of reconnects for the whole fleet, shared among the pods that drain.
//!
//! Each draining pod gets a pace; their sum is at most the budget, also while a change of paces is on its
//! way: nobody is told to go faster before those who have to slow down have answered.

use super::{Hold, Policy};

/// A pod is told anew when its pace is off by more than this share.
const MATERIAL: f64 = 0.2;
/// A drain of few sockets gets at least this share of the mean, so that it is over soon.
const LEAST_WEIGHT: f64 = 0.25;
/// Seconds of work at the budget's pace that are under way at once. More would only take pods out of
/// service long before their turn.
const WINDOW_SECONDS: f64 = 60.0;

/// A drain that shares the budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share {
    /// Sockets that are left.
    pub remaining: u64,
    /// Pace in force, sockets per second; 0 where the server was not told yet, `None` where it may have been.
    pub in_force: Option<f64>,
}

/// Sockets per second that the fleet may move. Where the spec does not say: what lets each pod that stays
/// take a full pod's worth of sockets within half of the deadline, so that even a fleet of two empties
/// a full pod in time, and no pod is connected to faster in a large fleet than in a small one.
pub(super) fn budget(policy: &Policy, receiving_capacity: u64) -> f64 {
    let default = || receiving_capacity as f64 / (policy.deadline.as_secs_f64() / 2.0);
    policy.reconnects_per_second.unwrap_or_else(default).max(1.0)
}

/// Whether a drain of `sockets` may begin beside those that run: the budget has to get through all of
/// them in a short while. One drain may always run.
pub(super) fn admit(
    pod: &str,
    sockets: u64,
    remaining: u64,
    budget: f64,
    policy: &Policy,
) -> Result<(), Hold> {
    let window = WINDOW_SECONDS.min(policy.deadline.as_secs_f64() / 2.0);
    if remaining == 0 || (remaining + sockets) as f64 <= budget * window {
        Ok(())
    } else {
        Err(Hold::Budget { pod: pod.to_owned(), remaining, budget })
    }
}

/// The pace of each drain, in the order given. Where all paces in force are about right they stay, so that
/// servers are told seldom.
pub(super) fn share(budget: f64, drains: &[Share]) -> Vec<f64> {
    let ideal = ideal(budget, drains);
    // Who does not answer is taken to use its share.
    let in_force: Vec<f64> =
        drains.iter().zip(&ideal).map(|(d, ideal)| d.in_force.unwrap_or(*ideal)).collect();
    let total: f64 = in_force.iter().sum();
    let about_right = |(pace, ideal): (&f64, &f64)| (ideal - pace).abs() <= MATERIAL * pace && *pace > 0.0;
    // A sum of floats may end up a hair above the budget that it was made from.
    if total <= budget * (1.0 + 1e-9) && in_force.iter().zip(&ideal).all(about_right) {
        return in_force;
    }
    // While one does not say how fast it is, nobody gets faster.
    let all_known = drains.iter().all(|d| d.in_force.is_some());
    let mut unused = if all_known { (budget - total).max(0.0) } else { 0.0 };
    let grant = |(pace, ideal): (f64, f64)| {
        let more = (ideal - pace).clamp(0.0, unused);
        unused -= more;
        ideal.min(pace + more)
    };
    in_force.into_iter().zip(ideal).map(grant).collect()
}

/// In proportion to what is left, so that drains that run together end together; small ones get a little
/// more than that.
fn ideal(budget: f64, drains: &[Share]) -> Vec<f64> {
    let mean = drains.iter().map(|d| d.remaining as f64).sum::<f64>() / drains.len().max(1) as f64;
    let weight = |d: &Share| (d.remaining as f64).max(mean * LEAST_WEIGHT);
    let weights: f64 = drains.iter().map(weight).sum();
    drains.iter().map(|d| if weights > 0.0 { budget * weight(d) / weights } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;

    fn policy(reconnects_per_second: Option<f64>) -> Policy {
        Policy { deadline: SignedDuration::from_secs(300), reconnects_per_second, headroom: 1.1 }
    }

    #[test]
    fn the_default_lets_one_other_pod_take_a_full_one_in_half_the_deadline() {
        let budget = budget(&policy(None), 10_000);
        assert!((10_000.0 / budget - 150.0).abs() < 1e-6);
    }

    #[test]
    fn a_budget_in_the_spec_holds_whatever_the_capacity() {
        assert_eq!(budget(&policy(Some(50.0)), 1_000_000), 50.0);
    }

    #[test]
    fn drains_of_one_size_share_evenly_and_small_ones_end_sooner() {
        let fresh = |remaining| Share { remaining, in_force: Some(0.0) };
        assert_eq!(share(100.0, &[fresh(500), fresh(500)]), [50.0, 50.0]);
        let paces = share(100.0, &[fresh(1000), fresh(10)]);
        assert!(10.0 / paces[1] < 1000.0 / paces[0], "{paces:?}");
    }

    #[test]
    fn a_newcomer_waits_until_the_others_have_slowed_down() {
        let running = Share { remaining: 500, in_force: Some(100.0) };
        let newcomer = Share { remaining: 500, in_force: Some(0.0) };
        assert_eq!(share(100.0, &[running, newcomer]), [50.0, 0.0]);
        let slowed = Share { in_force: Some(50.0), ..running };
        assert_eq!(share(100.0, &[slowed, newcomer]), [50.0, 50.0]);
    }

    #[test]
    fn nobody_gets_faster_while_one_does_not_say_how_fast_it_is() {
        let silent = Share { remaining: 500, in_force: None };
        let newcomer = Share { remaining: 500, in_force: Some(0.0) };
        assert_eq!(share(100.0, &[silent, newcomer]), [50.0, 0.0]);
    }

    #[test]
    fn small_differences_are_not_worth_a_call() {
        let drains =
            [Share { remaining: 480, in_force: Some(50.0) }, Share { remaining: 520, in_force: Some(50.0) }];
        assert_eq!(share(100.0, &drains), [50.0, 50.0]);
    }

    #[test]
    fn only_so_many_drains_begin_as_the_budget_gets_through() {
        let policy = policy(Some(100.0));
        assert!(admit("a", 1_000_000, 0, 100.0, &policy).is_ok(), "one drain may always run");
        assert!(admit("a", 1_000, 5_000, 100.0, &policy).is_ok());
        assert!(matches!(admit("a", 1_001, 5_000, 100.0, &policy), Err(Hold::Budget { .. })));
    }

    proptest! {
        #[test]
        fn never_above_the_budget(
            budget in 1.0..10_000.0_f64,
            drains in prop::collection::vec((0_u64..100_000, 0.0..1.0_f64), 0..20),
        ) {
            let sum: f64 = drains.iter().map(|d| d.1).sum::<f64>().max(1.0);
            let drains: Vec<_> = drains.into_iter()
                .map(|(remaining, part)| Share { remaining, in_force: Some(part / sum * budget) }).collect();
            let paces = share(budget, &drains);
            let worst: f64 = drains.iter().zip(&paces).map(|(d, p)| p.max(d.in_force.unwrap_or(0.0))).sum();
            prop_assert!(worst <= budget * 1.000_001, "{worst} > {budget}: {paces:?}");
            prop_assert!(paces.iter().all(|p| *p >= 0.0));
        }
    }
}

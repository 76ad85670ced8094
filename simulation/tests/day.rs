//! A short day of a small fleet: it follows the load without oscillating, and nobody is cut.

use socketfleet_simulation::day::{self, Size};

#[test]
fn a_fleet_follows_its_load_without_oscillating() {
    let size = Size {
        pods: 60,
        target: 80,
        capacity: 100,
        budget: 40.0,
        nodes: 12,
        day: 6 * 3_600_000,
        step: 2_000,
    };
    let day = day::run(size);
    assert!(day.turns <= 5, "{} turns of the wanted number", day.turns);
    assert!(day.taken_back <= day.drains / 10, "{} of {} drains taken back", day.taken_back, day.drains);
    assert!(day.pace_of_budget <= 1.001, "{} of the budget", day.pace_of_budget);
    assert_eq!((day.robbed, day.forced, day.late_drains), (0, 0, 0));
    assert!(day.rollout_took.is_some_and(|s| s < 1_200.0), "{:?}", day.rollout_took);
    assert!(day.moves_per_client < 1.1, "{} moves for each client", day.moves_per_client);
    assert!(day.back_after.is_some_and(|s| s < 300.0), "{:?}", day.back_after);
    assert!(day.drains > 60 && day.held_hours < day.pod_hours / 5.0);
}

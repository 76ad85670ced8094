//! A hashed timer wheel: one list per tick instead of a timer per connection. Pure; time comes as ticks.

/// Timers that are set once and never cancelled: whoever gets one that has lost its meaning drops it.
#[derive(Debug)]
pub struct Wheel<T> {
    slots: Vec<Vec<(u64, T)>>,
    /// The tick up to which everything has been taken out.
    now: u64,
}

impl<T> Wheel<T> {
    /// A wheel of `slots` lists that begins at tick 0. Timers further away than a turn cost one look a turn.
    pub fn new(slots: usize) -> Self {
        Self { slots: (0..slots.max(1)).map(|_| Vec::new()).collect(), now: 0 }
    }

    /// Sets a timer; one that is due already comes with the next tick.
    pub fn insert(&mut self, tick: u64, timer: T) {
        let tick = tick.max(self.now + 1);
        let slot = (tick % self.slots.len() as u64) as usize;
        self.slots[slot].push((tick, timer));
    }

    /// Takes out what is due up to and with `tick`. A tick that was missed is made up for.
    pub fn advance(&mut self, tick: u64) -> Vec<T> {
        let mut due = Vec::new();
        let turn = self.slots.len() as u64;
        // After a pause of more than a turn each list is looked at once.
        let first = (self.now + 1).max((tick + 1).saturating_sub(turn));
        for at in first..=tick {
            let slot = &mut self.slots[(at % turn) as usize];
            for (when, timer) in std::mem::take(slot) {
                match when <= tick {
                    true => due.push(timer),
                    false => slot.push((when, timer)),
                }
            }
        }
        self.now = self.now.max(tick);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_timer_comes_at_its_tick() {
        let mut wheel = Wheel::new(4);
        wheel.insert(3, "three");
        wheel.insert(11, "eleven");
        assert!(wheel.advance(2).is_empty());
        assert_eq!(wheel.advance(3), ["three"]);
        assert!(wheel.advance(10).is_empty());
        assert_eq!(wheel.advance(12), ["eleven"]);
    }

    #[test]
    fn a_timer_in_the_past_comes_next() {
        let mut wheel = Wheel::new(4);
        wheel.advance(9);
        wheel.insert(2, ());
        assert_eq!(wheel.advance(10).len(), 1);
    }

    proptest! {
        #[test]
        fn none_is_early_late_lost_or_doubled(ticks in proptest::collection::vec(1u64..200, 1..50), steps in proptest::collection::vec(1u64..60, 1..20)) {
            let mut wheel = Wheel::new(16);
            for (i, tick) in ticks.iter().enumerate() {
                wheel.insert(*tick, i);
            }
            let (mut now, mut seen) = (0, vec![false; ticks.len()]);
            for step in steps.into_iter().chain([300]) {
                let before = now;
                now += step;
                for i in wheel.advance(now) {
                    prop_assert!(ticks[i] <= now && ticks[i] > before && !seen[i]);
                    seen[i] = true;
                }
            }
            prop_assert!(seen.iter().all(|s| *s));
        }
    }
}

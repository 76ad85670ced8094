//! Clients: those that are connected are counted in their servers, the others wait here.

use std::collections::VecDeque;

use crate::server::Millis;

/// Clients that have no socket now.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    /// When how many try again, in order.
    due: VecDeque<(Millis, u64)>,
    /// How many there are in all, connected ones included.
    pub population: u64,
}

impl Clients {
    /// Clients lost their socket: they come back after this delay.
    pub fn lost_socket(&mut self, now: Millis, delay: Millis, n: u64) {
        if n > 0 {
            let at = now + delay;
            let position = self.due.partition_point(|(due, _)| *due <= at);
            match position.checked_sub(1).and_then(|i| self.due.get_mut(i)) {
                Some((due, waiting)) if *due == at => *waiting += n,
                _ => self.due.insert(position, (at, n)),
            }
        }
    }

    /// Clients without a socket.
    pub fn waiting(&self) -> u64 {
        self.due.iter().map(|(_, n)| n).sum()
    }

    /// Those that try now.
    pub fn try_now(&mut self, now: Millis) -> u64 {
        let mut n = 0;
        while self.due.front().is_some_and(|(due, _)| *due <= now) {
            n += self.due.pop_front().map_or(0, |(_, waiting)| waiting);
        }
        n
    }

    /// Takes away as many of those that wait; returns how many more would have to go.
    pub fn give_up(&mut self, mut n: u64) -> u64 {
        while n > 0
            && let Some((_, waiting)) = self.due.back_mut()
        {
            let gone = n.min(*waiting);
            *waiting -= gone;
            n -= gone;
            if *waiting == 0 {
                self.due.pop_back();
            }
        }
        n
    }
}

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

    /// The same for clients that find out one by one, evenly between `first` and `last` from now.
    pub fn lost_sockets(&mut self, now: Millis, (first, last): (Millis, Millis), step: Millis, mut n: u64) {
        let mut slots = u64::try_from((last - first) / step).unwrap_or(0) + 1;
        let mut delay = first;
        while n > 0 {
            let part = n.div_ceil(slots);
            self.lost_socket(now, delay, part);
            n -= part;
            slots -= 1;
            delay += step;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_out_one_by_one_comes_back_one_by_one() {
        let mut clients = Clients::default();
        clients.lost_sockets(0, (20, 40), 10, 8);
        assert_eq!([10, 20, 30, 40].map(|now| clients.try_now(now)), [0, 3, 3, 2]);
        assert_eq!(clients.waiting(), 0);
    }
}

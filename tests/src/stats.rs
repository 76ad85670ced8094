//! What the load clients counted; `tests/client` says what each number means.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Counts of one load client, or of several together.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Sockets that exist, connected or not.
    pub sockets: u64,
    /// Sockets that are connected.
    pub connected: u64,
    /// Sockets that are connected and in their room.
    pub joined: u64,
    /// Rooms.
    pub rooms: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages that a server acknowledged.
    pub acked: u64,
    /// Messages that the client gave up.
    pub failed: u64,
    /// Deliveries, each counted once.
    pub received: u64,
    /// Deliveries that are overdue.
    pub lost: u64,
    /// Publications delivered again.
    pub doubled: u64,
    /// Messages that came again because the client had to send them again.
    pub resent: u64,
    /// What is under way.
    pub outstanding: Outstanding,
    /// The oldest deliveries that have not come.
    pub missing: Vec<Missing>,
    /// `server:maintenance` notices.
    pub maintenance: u64,
    /// Connections after the first one.
    pub reconnects: u64,
    /// Of these, with the session recovered.
    pub recovered: u64,
    /// Of these, without: the client started anew.
    pub unrecovered: u64,
    /// Disconnects by reason.
    pub disconnects: BTreeMap<String, u64>,
    /// Errors by message.
    pub errors: BTreeMap<String, u64>,
    /// Milliseconds from opening a socket to its connection.
    pub connect_ms: Histogram,
    /// Milliseconds from losing a connection to the next.
    pub reconnect_ms: Histogram,
    /// Milliseconds from sending a message to each of its deliveries.
    pub delivery_ms: Histogram,
    /// Clients by how often they reconnected since the last mark.
    pub reconnects_per_client: BTreeMap<u64, u64>,
}

/// What has been sent and not been answered or delivered yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Outstanding {
    /// Messages without an acknowledgement.
    pub unacked: u64,
    /// Deliveries that have not come.
    pub undelivered: u64,
}

/// A message that not all have got.
#[derive(Clone, Debug, Deserialize)]
pub struct Missing {
    /// Who sent it, as its how-manieth.
    pub message: String,
    /// Who has not got it.
    pub ears: Vec<String>,
    /// The offsets with which the others got it.
    pub offsets: Vec<String>,
}

/// Durations in buckets.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Histogram {
    /// How many.
    pub count: u64,
    /// The longest, milliseconds.
    pub max: f64,
    /// Upper end in milliseconds, and count, in rising order.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// Upper end, in milliseconds, of the bucket with the quantile `q`; 0 when empty.
    pub fn quantile(&self, q: f64) -> f64 {
        let mut left = (q * self.count as f64).ceil();
        for (upper, n) in &self.buckets {
            left -= *n as f64;
            if left <= 0.0 {
                return upper.min(self.max);
            }
        }
        0.0
    }

    /// What came after `earlier`, an earlier reading of the same histogram. `max` stays.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |upper: f64| earlier.buckets.iter().find(|b| b.0 == upper).map_or(0, |b| b.1);
        Self {
            count: self.count.saturating_sub(earlier.count),
            max: self.max,
            buckets: self
                .buckets
                .iter()
                .map(|&(upper, n)| (upper, n.saturating_sub(before(upper))))
                .collect(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.max = self.max.max(other.max);
        for &(upper, n) in &other.buckets {
            match self.buckets.binary_search_by(|b| b.0.total_cmp(&upper)) {
                Ok(i) => self.buckets[i].1 += n,
                Err(i) => self.buckets.insert(i, (upper, n)),
            }
        }
    }
}

impl std::iter::Sum for Stats {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, one| {
            sum.add(one);
            sum
        })
    }
}

impl Stats {
    /// Nothing was lost, doubled or given up, and no client had to start anew.
    pub fn assert_no_loss(&self) {
        let Self { lost, doubled, failed, unrecovered, outstanding, .. } = self;
        assert!(
            (*lost, *doubled, *failed, *unrecovered, *outstanding) == (0, 0, 0, 0, Outstanding::default()),
            "messages or sessions were lost: {self:#?}"
        );
    }

    /// Reconnects per client since the last mark.
    pub fn reconnects_each(&self) -> f64 {
        let (reconnects, clients) =
            self.reconnects_per_client.iter().fold((0, 0), |(r, c), (times, n)| (r + times * n, c + n));
        reconnects as f64 / (clients.max(1)) as f64
    }

    fn add(&mut self, other: Self) {
        let Self {
            sockets,
            connected,
            joined,
            rooms,
            sent,
            acked,
            failed,
            received,
            lost,
            doubled,
            resent,
            outstanding,
            missing,
            maintenance,
            reconnects,
            recovered,
            unrecovered,
            disconnects,
            errors,
            connect_ms,
            reconnect_ms,
            delivery_ms,
            reconnects_per_client,
        } = other;
        self.sockets += sockets;
        self.connected += connected;
        self.joined += joined;
        self.rooms += rooms;
        self.sent += sent;
        self.acked += acked;
        self.failed += failed;
        self.received += received;
        self.lost += lost;
        self.doubled += doubled;
        self.resent += resent;
        self.outstanding.unacked += outstanding.unacked;
        self.outstanding.undelivered += outstanding.undelivered;
        self.missing.extend(missing);
        self.maintenance += maintenance;
        self.reconnects += reconnects;
        self.recovered += recovered;
        self.unrecovered += unrecovered;
        merge(&mut self.disconnects, disconnects);
        merge(&mut self.errors, errors);
        self.connect_ms.add(&connect_ms);
        self.reconnect_ms.add(&reconnect_ms);
        self.delivery_ms.add(&delivery_ms);
        merge(&mut self.reconnects_per_client, reconnects_per_client);
    }
}

fn merge<K: Ord>(into: &mut BTreeMap<K, u64>, from: BTreeMap<K, u64>) {
    for (key, n) in from {
        *into.entry(key).or_default() += n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(buckets: &[(f64, u64)]) -> Histogram {
        Histogram {
            count: buckets.iter().map(|b| b.1).sum(),
            max: buckets.last().map_or(0.0, |b| b.0),
            buckets: buckets.to_vec(),
        }
    }

    #[test]
    fn histograms_add_up_and_subtract() {
        let mut sum = histogram(&[(1.0, 10), (4.0, 10)]);
        sum.add(&histogram(&[(2.0, 80)]));
        assert_eq!(sum.buckets, [(1.0, 10), (2.0, 80), (4.0, 10)]);
        assert_eq!((sum.quantile(0.5), sum.quantile(0.99)), (2.0, 4.0));
        let later = sum.since(&histogram(&[(2.0, 80)]));
        assert_eq!((later.count, later.quantile(0.5)), (20, 1.0));
    }

    #[test]
    fn reconnects_are_counted_for_each_client() {
        let stats = Stats { reconnects_per_client: [(0, 1), (1, 2), (2, 1)].into(), ..Stats::default() };
        assert_eq!(stats.reconnects_each(), 1.0);
    }
}

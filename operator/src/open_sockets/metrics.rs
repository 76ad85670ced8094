//! The counting itself, as metrics: which fleets are in doubt, and how many pods do not answer.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::time::Instant;

use super::OpenSockets;

impl Collector for OpenSockets {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = Instant::now();
        let (fleets, pods, missing) = {
            let state = self.shared.state.lock();
            let unlisted = state.unlisted != Some(0);
            let fleets: Vec<_> = state
                .fleets
                .iter()
                .map(|(fleet, found)| (fleet.clone(), unlisted || found.in_doubt(now)))
                .collect();
            let missing: usize = state.fleets.values().map(|found| found.sums.missing()).sum();
            (fleets, state.fleet_of.len(), missing)
        };
        let help = "1 while open sockets of the fleet are not known for sure and it does not shrink.";
        let mut family = encoder.encode_descriptor("fleet_counts_in_doubt", help, None, MetricType::Gauge)?;
        for (fleet, in_doubt) in fleets {
            let labels = [("namespace", fleet.namespace.unwrap_or_default()), ("fleet", fleet.name)];
            ConstGauge::new(u64::from(in_doubt)).encode(family.encode_family(&labels)?)?;
        }
        for (name, help, pods) in [
            ("operator_counted_pods", "Server pods whose open sockets are asked for.", pods),
            ("operator_silent_pods", "Server pods that should answer and do not.", missing),
        ] {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(u64::try_from(pods).unwrap_or(u64::MAX)).encode(encoder)?;
        }
        Ok(())
    }
}

impl fmt::Debug for OpenSockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenSockets")
    }
}

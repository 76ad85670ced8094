//! Rules and dashboard in config/ ask for what is served, by the name that it is served under.

use std::collections::BTreeSet;
use std::path::Path;

use socketfleet_api::contract::metrics;

use crate::process::Process;

/// Metrics of the operator, which its own tests look after, and labels.
const NOT_THE_SERVERS: [&str; 4] =
    ["socketfleet_operator_", "socketfleet_fleet_", "socketfleet_wrong_victims", "socketfleet_io_"];

#[test]
fn rules_and_dashboard_name_metrics_that_are_served() {
    let server = Process::start(&[]);
    let text = server.admin("GET", "/metrics").body;
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    // With labels: they come with the first command, and no server here has a Redis.
    let redis = [(metrics::REDIS_COMMAND_DURATION, "histogram"), (metrics::REDIS_ERRORS, "counter")];
    let served: BTreeSet<String> =
        families.chain(redis).flat_map(|(name, kind)| samples(name, kind)).collect();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    for file in ["prometheus/rules.yaml", "grafana/socketfleet.json", "autoscaling/prometheus-adapter.yaml"] {
        let text = std::fs::read_to_string(config.join(file)).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
        let named = words.filter(|word| word.starts_with("socketfleet_"));
        let mut ours =
            named.filter(|name| !NOT_THE_SERVERS.iter().any(|not| name.starts_with(not))).peekable();
        assert!(ours.peek().is_some(), "{file} names no metric of the server");
        for name in ours {
            assert!(served.contains(name), "{file} asks for {name}, which is not among {served:?}");
        }
    }
}

/// Names of a family's samples.
fn samples(name: &str, kind: &str) -> Vec<String> {
    let suffixes: &[&str] = match kind {
        "counter" => &["_total"],
        "histogram" => &["_bucket", "_sum", "_count"],
        "info" => &["_info"],
        _ => &[""],
    };
    suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect()
}

//! What the operator is told at start, by flags or by the environment.

use std::net::SocketAddr;

/// What the operator brings into every fleet.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Platform {
    /// Image of fleets that do not name one in spec.server.image
    #[arg(long, env = "SERVER_IMAGE", default_value = concat!("ghcr.io/socketfleet/socket-server:", env!("CARGO_PKG_VERSION")))]
    pub server_image: String,

    /// Image of managed Redis servers that do not name one in spec.redis.managed.image
    #[arg(long, env = "REDIS_IMAGE", default_value = "docker.io/library/redis:8.2-alpine")]
    pub redis_image: String,

    /// Namespace that the operator runs in: its pods there may reach the admin port of the fleets' pods
    #[arg(long, env = "POD_NAMESPACE", default_value = "socketfleet-system")]
    pub operator_namespace: String,

    /// Networks from which an operator outside the cluster (on a laptop, say) reaches the admin port of the fleets' pods,
    /// separated by commas
    #[arg(long, env = "OPERATOR_CIDRS", value_delimiter = ',')]
    pub operator_cidrs: Vec<String>,
}

/// Arguments of `run`.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    #[command(flatten)]
    pub platform: Platform,

    /// Namespaces whose fleets are looked after, separated by commas; all when empty
    #[arg(long, env = "NAMESPACES", value_delimiter = ',', value_parser = namespace)]
    pub namespaces: Vec<String>,

    /// Address of the operator's own /metrics, /livez, /readyz and /loglevel
    #[arg(long, env = "METRICS_BIND_ADDRESS", default_value = "0.0.0.0:8080")]
    pub metrics_bind_address: SocketAddr,

    /// Name of the Lease that makes one of several operators the one that acts
    #[arg(long, env = "LEASE_NAME", default_value = "socketfleet-operator")]
    pub lease_name: String,

    /// Name of this operator in the Lease and in Events
    #[arg(long, env = "POD_NAME", default_value_t = host_name())]
    pub identity: String,

    /// Fleets that are reconciled at the same time
    #[arg(long, env = "CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,

    #[command(flatten)]
    pub metrics_api: crate::metrics_api::Options,
}

fn namespace(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let label = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.is_empty() || text.len() > 63 || !text.bytes().all(label) {
        return Err("name namespaces separated by commas, or leave the option out to look after all of them");
    }
    Ok(text.to_owned())
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "socketfleet-operator".into())
}

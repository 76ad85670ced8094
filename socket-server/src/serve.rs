//! Wires the parts together, serves, and ends in order.

mod adapter;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use socket_server::adapter::redis::RedisObserver;
use socket_server::admin::auth::Access;
use socket_server::admin::{self, Routes};
use socket_server::app;
use socket_server::config::Config;
use socket_server::drain::Signals;
use socket_server::metrics::{self, Timings};
use socket_server::pod::{self, Parts, Pod};
use socket_server::process::memory::MemoryProbe;
use socket_server::process::open_files;
use socket_server::server::Server;
use socket_server::socket_port::SocketPort;
use tokio::net::TcpListener;

use adapter::Sharing;

/// Serves until a signal ends the process and its sockets have left.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("signals cannot be handled")?;
    let limit = open_files::raise_limit();
    if let Some(shortage) = open_files::shortage(limit, config.max_connections) {
        tracing::warn!("{shortage}");
    }

    let pod = build(&config, adapter::share(&config).await?)?;
    let sockets = listen("port", config.host, config.port).await?;
    let admin = listen("adminPort", config.admin.host, config.admin.port).await?;
    let (socket_address, admin_address) = (sockets.local_addr()?, admin.local_addr()?);
    let routes = Routes {
        metrics: metrics::registry(pod.clone()),
        pod: pod.clone(),
        access: config.admin.token_file.clone().map_or(Access::Loopback, Access::Token),
    };
    let server = pod.server().clone();
    let (watched, drained) = (pod.clone(), pod.clone());
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move { pod::watch(&watched).await });
    serving.spawn(async move { drained.drainer().run().await });
    serving.spawn(admin::serve(admin, routes));
    serving.spawn(async move { server.serve(sockets).await });
    tracing::info!(
        port = socket_address.port(),
        admin_port = admin_address.port(),
        path = config.path,
        max_connections = config.max_connections,
        "serving"
    );

    let signal = signals.next().await;
    tracing::info!(signal, open = pod.open_sockets(), "told to end");
    pod.drainer().shut_down(config.shutdown_drain);
    tokio::select! {
        () = pod.drainer().drained() => tracing::info!("ended"),
        signal = signals.next() => {
            tracing::warn!(signal, open = pod.open_sockets(), "told to end twice: ending at once");
        }
    }
    Ok(())
}

fn build(config: &Config, sharing: Sharing) -> anyhow::Result<Arc<Pod>> {
    let timings = Arc::new(Timings::default());
    let Sharing { factory, redis } = sharing;
    let socket_port = SocketPort::default();
    let server = Server::builder(config.server_options())
        .adapter(factory)
        .observer(timings.clone())
        .fallback(socket_port.fallback())
        .build();
    let observer = redis.clone().map(|redis| redis as Arc<dyn RedisObserver>);
    let api = app::start(server.io(), config, observer)?;
    let pod = Pod::new(Parts {
        instance: config.instance_id.clone(),
        capacity: config.max_connections,
        server,
        timings,
        redis,
        probe: MemoryProbe::new(),
    });
    socket_port.open(pod.clone(), api);
    Ok(pod)
}

/// Listens on the given address, or on all of IPv6 and IPv4, or on all of IPv4 where there is no IPv6.
async fn listen(key: &str, host: Option<IpAddr>, port: u16) -> anyhow::Result<TcpListener> {
    let bound = match host {
        Some(host) => TcpListener::bind(SocketAddr::new(host, port)).await,
        None => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
            }
            bound => bound,
        },
    };
    bound.with_context(|| {
        format!("{key} {port} cannot be listened on: give another number, or end who has it")
    })
}

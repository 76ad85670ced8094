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
use socket_server::pod::{self, Allocator, Parts, Pod};
use socket_server::process::memory::MemoryProbe;
use socket_server::process::{code, open_files};
use socket_server::server::Server;
use socket_server::socket_port::SocketPort;
use tokio::net::{TcpListener, TcpSocket};

use adapter::Sharing;

/// Connections that may wait to be accepted: a fleet's clients come back all at once. The system's own limit
/// (`net.core.somaxconn`) may be lower.
const BACKLOG: u32 = 16_384;

/// Serves until a signal ends the process and its sockets have left.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("signals cannot be handled")?;
    let limit = open_files::raise_limit();
    if let Some(shortage) = open_files::shortage(limit, config.max_connections) {
        tracing::warn!("{shortage}");
    }

    let pod = build(&config, adapter::share(&config).await?)?;
    let sockets = listen("port", config.host, config.port)?;
    let admin = listen("adminPort", config.admin.host, config.admin.port)?;
    let (socket_address, admin_address) = (sockets.local_addr()?, admin.local_addr()?);
    let routes = Routes {
        metrics: metrics::registry(pod.clone()),
        pod: pod.clone(),
        access: config.admin.token_file.clone().map_or(Access::Loopback, Access::Token),
    };
    let server = pod.server().clone();
    let drained = pod.clone();
    pod::watch(&pod, MIMALLOC);
    let mut serving = tokio::task::JoinSet::new();
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
    if let Err(error) = code::let_go_of_start() {
        tracing::debug!(%error, "the code of the start stays mapped");
    }

    let signal = signals.next().await;
    let open = pod.open_sockets();
    pod.drainer().shut_down(config.shutdown_drain);
    tracing::info!(signal, open, "told to end");
    tokio::select! {
        () = pod.drainer().drained() => tracing::info!("ended"),
        signal = signals.next() => {
            tracing::warn!(signal, open = pod.open_sockets(), "told to end twice: ending at once");
        }
    }
    Ok(())
}

/// mimalloc's `purge_delay`, which its crate has no name for, and its value unless it is set: milliseconds that freed memory
/// is kept for what comes next.
const PURGE_DELAY: (libmimalloc_sys::mi_option_t, i64) = (15, 1_000);

const MIMALLOC: Allocator = Allocator {
    keep_unused: |keep| {
        let (option, default) = PURGE_DELAY;
        // SAFETY: may be called at any time, from any thread.
        unsafe { libmimalloc_sys::mi_option_set(option, if keep { default } else { 0 }) }
    },
    // SAFETY: may be called at any time, from any thread.
    give_back: || unsafe { libmimalloc_sys::mi_collect(true) },
};

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
fn listen(key: &str, host: Option<IpAddr>, port: u16) -> anyhow::Result<TcpListener> {
    let bound = match host {
        Some(host) => bind((host, port).into()),
        None => match bind((Ipv6Addr::UNSPECIFIED, port).into()) {
            Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
                bind((Ipv4Addr::UNSPECIFIED, port).into())
            }
            bound => bound,
        },
    };
    bound.with_context(|| {
        format!("{key} {port} cannot be listened on: give another number, or end who has it")
    })
}

/// As [`TcpListener::bind`], with room for more connections that wait to be accepted.
fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use kube::CustomResourceExt;
use socketfleet_api::SocketFleet;
use socketfleet_operator::settings::{Platform, Settings};
use socketfleet_operator::telemetry::logs;
use socketfleet_operator::{offline, run};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Socket.IO fleets on Kubernetes that scale on open sockets and drain before they shrink
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Look after the fleets of a cluster: the one this runs in, or the one of the current kubeconfig context
    Run {
        #[command(flatten)]
        settings: Box<Settings>,
        #[command(flatten)]
        logs: logs::LogOptions,
    },
    /// Print the CustomResourceDefinition
    Crd,
    /// Print the objects that the operator would make of fleets, without a cluster
    Plan {
        /// YAML file with SocketFleets; `-` for standard input
        #[arg(short, long)]
        file: PathBuf,
        #[command(flatten)]
        platform: Platform,
    },
}

/// It waits most of the time: a thread for each CPU of a large node would only hold memory.
const WORKERS: usize = 2;

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Run { settings, logs } => {
            let level = logs::start(&logs).with_context(|| format!("--log-level {:?}", logs.log_level))?;
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(WORKERS).enable_all().build()?.block_on(async {
                let stop = stop_on_signal()?;
                run::run(*settings, level, stop).await.context("the operator cannot start")
            })
        }
        Command::Crd => print(&serde_yaml::to_string(&SocketFleet::crd())?),
        Command::Plan { file, platform } => {
            let text = if file.as_os_str() == "-" {
                std::io::read_to_string(std::io::stdin())
            } else {
                std::fs::read_to_string(&file)
            };
            let text = text.with_context(|| format!("cannot read {}", file.display()))?;
            print(&offline::plan(&text, &platform).with_context(|| file.display().to_string())?)
        }
    }
}

/// Prints, and takes it that a reader which has read enough has gone.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Cancelled by SIGTERM or SIGINT. A second signal ends the process at once.
fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = stop.clone();
    tokio::spawn(async move {
        for last in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if last {
                std::process::exit(1);
            }
            tracing::info!("told to stop: finishing what has begun");
            token.cancel();
        }
    });
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Args::command().debug_assert();
    }
}

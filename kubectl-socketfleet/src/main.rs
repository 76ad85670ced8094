//! `kubectl socketfleet`: see and steer the fleets' pods, sockets and drains.
//!
//! What it changes is what anybody could with `kubectl annotate` and `kubectl patch`: the operator's own
//! machine carries it out.

mod pods;
mod rollout;
mod steer;
mod table;
mod view;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// See and steer the fleets' pods, sockets and drains.
#[derive(Parser)]
#[command(name = "kubectl-socketfleet", bin_name = "kubectl socketfleet", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    cluster: Cluster,
}

/// Which cluster and namespace, as kubectl has them.
#[derive(Args)]
struct Cluster {
    /// Namespace of the fleet; default: the context's.
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    /// Context of the kubeconfig.
    #[arg(long, global = true)]
    context: Option<String>,
    /// Path of the kubeconfig; default: $KUBECONFIG, ~/.kube/config.
    #[arg(long, global = true)]
    kubeconfig: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Show fleets with their conditions, revisions, drains and pods.
    Status {
        /// Name of a fleet; default: all of the namespace.
        fleet: Option<String>,
    },
    /// Show the open sockets of each pod, fullest first.
    Top {
        /// Name of the fleet.
        fleet: String,
    },
    /// Say what the operator does with a fleet or a pod, why, and what it waits for.
    Explain {
        /// Name of the fleet.
        fleet: String,
        /// Name of one of its pods.
        pod: Option<String>,
    },
    /// Move all sockets off a pod, then replace it.
    Drain {
        /// Name of the pod.
        pod: String,
    },
    /// Take back `drain`: the pod takes new sockets again.
    Undrain {
        /// Name of the pod.
        pod: String,
    },
    /// Hold a fleet: no scaling, no rollout, no new drain.
    Pause {
        /// Name of the fleet.
        fleet: String,
        /// Hold only the rollout; scaling goes on.
        #[arg(long)]
        rollout: bool,
    },
    /// Let a held fleet go on.
    Resume {
        /// Name of the fleet.
        fleet: String,
        /// Let only the rollout go on.
        #[arg(long)]
        rollout: bool,
    },
    /// Follow, hold, judge again or undo a rollout.
    #[command(subcommand)]
    Rollout(rollout::Verb),
}

impl Cluster {
    async fn client(&self) -> Result<(Client, String)> {
        let options = KubeConfigOptions { context: self.context.clone(), ..Default::default() };
        let config = match &self.kubeconfig {
            Some(path) => {
                let file =
                    Kubeconfig::read_from(path).with_context(|| format!("cannot read kubeconfig {path}"))?;
                Config::from_custom_kubeconfig(file, &options).await?
            }
            None => Config::from_kubeconfig(&options)
                .await
                .context("no usable kubeconfig: set KUBECONFIG or use --kubeconfig")?,
        };
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok((Client::try_from(config)?, namespace))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Cli { command, cluster } = Cli::parse();
    let (client, namespace) = cluster.client().await?;
    let text = match command {
        Command::Status { fleet } => view::status(&client, &namespace, fleet.as_deref()).await?,
        Command::Top { fleet } => view::top(&client, &namespace, &fleet).await?,
        Command::Explain { fleet, pod } => view::explain(&client, &namespace, &fleet, pod.as_deref()).await?,
        Command::Drain { pod } => steer::drain(&client, &namespace, &pod, true).await?,
        Command::Undrain { pod } => steer::drain(&client, &namespace, &pod, false).await?,
        Command::Pause { fleet, rollout } => steer::pause(&client, &namespace, &fleet, rollout, true).await?,
        Command::Resume { fleet, rollout } => {
            steer::pause(&client, &namespace, &fleet, rollout, false).await?
        }
        Command::Rollout(verb) => rollout::run(&client, &namespace, verb).await?,
    };
    println!("{}", text.trim_end());
    Ok(())
}

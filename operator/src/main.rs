use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use kube::CustomResourceExt;
use socketfleet_api::SocketFleet;
use socketfleet_operator::offline;
use socketfleet_operator::settings::Platform;

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

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
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

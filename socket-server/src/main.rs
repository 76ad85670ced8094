//! `socket-server`: the companion server of a SocketFleet, as a program.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use socket_server::config::{self, Config, ConfigError, Options};
use socket_server::process;
use tokio::runtime::{self, Runtime};

mod serve;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A Socket.IO server for fleets. With no option at all it serves stock clients on port 3000.
///
/// Each option is a flag, an environment variable and a key of the YAML file: --cors-origin, CORS_ORIGIN and
/// `cors.origin` (or `corsOrigin`). The flag wins over the variable, and that over the file.
#[derive(Parser)]
#[command(name = "socket-server", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    given: Given,
}

#[derive(Subcommand)]
enum Command {
    /// Print the configuration in force as YAML, secrets hidden, and end
    Config(Given),
}

#[derive(Args)]
struct Given {
    /// YAML file with options
    #[arg(long, short, env = "CONFIG_FILE", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

impl Given {
    fn load(&self) -> Result<Config, ConfigError> {
        config::load(&self.options, self.config.as_deref())
    }
}

fn main() -> ExitCode {
    process::refuse_huge_pages();
    let mut matches = Cli::command().get_matches();
    let on_command_line = |matches: &clap::ArgMatches| {
        matches.try_get_raw("redis_url").is_ok()
            && matches.value_source("redis_url") == Some(ValueSource::CommandLine)
    };
    let exposed =
        on_command_line(&matches) || matches.subcommand().is_some_and(|(_, sub)| on_command_line(sub));
    let cli = Cli::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.exit());
    let done = match cli.command {
        Some(Command::Config(given)) => print(&given, exposed),
        None => run(&cli.given, exposed),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("socket-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print(given: &Given, exposed: bool) -> anyhow::Result<()> {
    let config = load(given, exposed)?;
    println!("{}", serde_yaml::to_string(&config)?.trim_end());
    Ok(())
}

fn run(given: &Given, exposed: bool) -> anyhow::Result<()> {
    let config = load(given, exposed)?;
    socket_server::logging::init(&config.log, &config.instance_id)?;
    runtime().context("the runtime cannot be started")?.block_on(serve::serve(config))
}

/// With one CPU there is nothing to share tasks with: they stay on one thread, and what sharing costs is saved.
fn runtime() -> std::io::Result<Runtime> {
    let mut builder = match std::thread::available_parallelism() {
        Ok(NonZeroUsize::MIN) => runtime::Builder::new_current_thread(),
        Ok(_) | Err(_) => runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build()
}

/// Whoever lists processes reads their arguments: a password is not taken from there.
fn load(given: &Given, exposed: bool) -> anyhow::Result<Config> {
    let config = given.load()?;
    let password = config.redis.as_ref().is_some_and(|redis| redis.has_password());
    anyhow::ensure!(
        !(exposed && password),
        "--redis-url has a password, which every process of this machine could read: \
         use REDIS_URL or redis.urlFile (REDIS_URL_FILE)"
    );
    Ok(config)
}

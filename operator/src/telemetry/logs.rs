use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Arguments of logging.
#[derive(Clone, Debug, clap::Args)]
pub struct LogOptions {
    /// What is logged: a level (error, warn, info, debug, trace) or directives such as info,socketfleet_operator::drain=debug
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,

    /// How it looks
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = Format::Json)]
    pub log_format: Format,
}

/// Changes what is logged while the operator runs.
#[derive(Clone)]
pub struct Level(reload::Handle<EnvFilter, Registry>);

impl Level {
    /// Logs by these directives from now on.
    ///
    /// # Errors
    /// What is wrong with the directives.
    pub fn set(&self, directives: &str) -> Result<(), String> {
        let filter = EnvFilter::try_new(directives.trim()).map_err(|error| error.to_string())?;
        self.0.reload(filter).map_err(|error| error.to_string())
    }

    /// The directives in force.
    pub fn get(&self) -> String {
        self.0.with_current(ToString::to_string).unwrap_or_default()
    }
}

/// Starts logging to standard error.
///
/// # Errors
/// What is wrong with the level.
pub fn start(options: &LogOptions) -> Result<Level, tracing_subscriber::filter::ParseError> {
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(&options.log_level)?);
    let registry = tracing_subscriber::registry().with(filter);
    match options.log_format {
        Format::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(std::io::stderr))
            .init(),
        Format::Text => registry.with(fmt::layer().with_writer(std::io::stderr)).init(),
    }
    Ok(Level(handle))
}

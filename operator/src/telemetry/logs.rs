use tracing_subscriber::filter::LevelFilter;
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

/// Directives that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A word that is no level would be taken for the name of a module, and silence all others.
    #[error(
        "{0:?} is no level: there are error, warn, info, debug, trace and off; of one module, write {0}=debug"
    )]
    NoLevel(String),
    /// Malformed.
    #[error(transparent)]
    Malformed(#[from] tracing_subscriber::filter::ParseError),
    /// The process has ended logging.
    #[error(transparent)]
    Ended(#[from] reload::Error),
}

/// Changes what is logged while the operator runs.
#[derive(Clone)]
pub struct Level(reload::Handle<EnvFilter, Registry>);

impl Level {
    /// Logs by these directives from now on.
    ///
    /// # Errors
    /// What is wrong with the directives.
    pub fn set(&self, directives: &str) -> Result<(), Error> {
        Ok(self.0.reload(parse(directives)?)?)
    }

    /// The directives in force.
    pub fn get(&self) -> String {
        self.0.with_current(ToString::to_string).unwrap_or_default()
    }
}

fn parse(directives: &str) -> Result<EnvFilter, Error> {
    let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    let words = directives.split(',').map(str::trim);
    if let Some(word) = words.clone().find(|word| !word.contains(['=', '[']) && !is_level(word)) {
        return Err(Error::NoLevel(word.to_owned()));
    }
    Ok(EnvFilter::try_new(directives.trim())?)
}

/// A filter, and the handle that changes it.
///
/// # Errors
/// What is wrong with the directives.
pub(super) fn filter(directives: &str) -> Result<(reload::Layer<EnvFilter, Registry>, Level), Error> {
    let (filter, handle) = reload::Layer::new(parse(directives)?);
    Ok((filter, Level(handle)))
}

/// Starts logging to standard error.
///
/// # Errors
/// What is wrong with the level.
pub fn start(options: &LogOptions) -> Result<Level, Error> {
    let (filter, level) = filter(&options.log_level)?;
    let registry = tracing_subscriber::registry().with(filter);
    match options.log_format {
        Format::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(std::io::stderr))
            .init(),
        Format::Text => registry.with(fmt::layer().with_writer(std::io::stderr)).init(),
    }
    Ok(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_level_is_in_force_at_once() {
        let (filter, level) = filter("info").unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(filter), || {
            assert!(tracing::enabled!(tracing::Level::INFO) && !tracing::enabled!(tracing::Level::DEBUG));
            level.set("debug\n").unwrap();
            assert!(tracing::enabled!(tracing::Level::DEBUG));
            level.set("warn,socketfleet_operator::drain=debug").unwrap();
            assert!(!tracing::enabled!(tracing::Level::INFO));
            assert!(tracing::enabled!(target: "socketfleet_operator::drain", tracing::Level::DEBUG));
        });
    }

    #[test]
    fn what_is_no_level_is_refused_and_changes_nothing() {
        let (_filter, level) = filter("info").unwrap();
        for directives in ["debgu", "info,socketfleet_operator", "a=b=c", ""] {
            assert!(level.set(directives).is_err(), "{directives:?}");
        }
        assert_eq!(level.get(), "info");
        assert!(level.set("debgu").unwrap_err().to_string().contains("\"debgu\" is no level"));
    }
}

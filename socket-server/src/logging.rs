//! Log lines on standard error, as JSON or text, each with the instance's name.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, format};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Log, LogFormat};

/// Sends the log of the whole process to standard error.
///
/// # Errors
/// When the process has a subscriber already, or the level cannot be parsed.
pub fn init(log: &Log, instance: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let done = match log.format {
        LogFormat::Json => builder.json().event_format(WithInstance::json(instance)).try_init(),
        LogFormat::Text => builder.event_format(WithInstance::text(instance)).try_init(),
    };
    done.map_err(|error| anyhow::anyhow!(error))
}

/// Adds the instance to what another format writes, whatever span the event is in.
struct WithInstance<F> {
    inner: F,
    /// Written before the first byte of the line …
    before: String,
    /// … which is dropped when this says so (the brace of a JSON object, opened by `before`).
    replaces_first_byte: bool,
}

impl WithInstance<format::Format<format::Json>> {
    fn json(instance: &str) -> Self {
        Self {
            inner: format().json().flatten_event(true).with_current_span(false),
            before: format!("{{\"instance\":{},", serde_json::Value::from(instance)),
            replaces_first_byte: true,
        }
    }
}

impl WithInstance<format::Format<format::Full>> {
    fn text(instance: &str) -> Self {
        Self { inner: format(), before: format!("{instance} "), replaces_first_byte: false }
    }
}

impl<S, N, F> FormatEvent<S, N> for WithInstance<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(&self.before)?;
        writer.write_str(if self.replaces_first_byte { line.get(1..).unwrap_or_default() } else { &line })
    }
}

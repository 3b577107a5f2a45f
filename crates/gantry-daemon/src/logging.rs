//! Where log lines go: standard error, as text or JSON.

use crate::args::{Args, LogFormat};
use crate::error::Error;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Sets the log up as the flags say.
pub(crate) fn init(args: &Args) -> Result<(), Error> {
    let level = args.log_level.as_deref().unwrap_or(if args.debug { "debug" } else { "info" });
    // 0.2's names for what has no level of its own here.
    let level = if matches!(level, "fatal" | "panic") { "error" } else { level };
    let bad = |reason: String| Error::LogLevel { level: level.to_owned(), reason };
    // The HTTP/2 library's own events are of use to nobody who looks after containers.
    let filter = EnvFilter::try_new(format!("warn,gantry={level}")).map_err(|e| bad(e.to_string()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let builder = builder.with_ansi(std::io::stderr().is_terminal());
    match args.log_format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

//! Where log lines go: standard error, one write a line, in one of the forms of [`format`].
//!
//! A filter by level and a few formats are all that is needed here, so this is a subscriber of its own: it costs no
//! regular expressions, no span registry and no memory while nothing is logged. Spans, which only the HTTP/2 library
//! makes, are not recorded. The level can be changed while the daemon runs ([`Log::set_level`]).

mod format;
mod level;

pub(crate) use format::LogFormat;
pub(crate) use level::Level;

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

/// What is ours begins so; of other libraries only what went wrong is of use to who looks after containers.
const OWN: &str = "gantry";

/// A handle on the log that was set up.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<AtomicU8>);

impl Log {
    /// Sets the log up. Only the first log of a process is one.
    pub(crate) fn init(level: Level, format: LogFormat) -> Self {
        let log = Self(Arc::new(AtomicU8::new(level as u8)));
        let colours = std::io::stderr().is_terminal();
        // A second one can only be a test's.
        let _ = tracing::subscriber::set_global_default(Lines { level: Arc::clone(&log.0), format, colours });
        log
    }

    /// Logs from now on what `level` says.
    pub(crate) fn set_level(&self, level: Level) {
        self.0.store(level as u8, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }
}

/// The subscriber that writes lines.
struct Lines {
    level: Arc<AtomicU8>,
    format: LogFormat,
    colours: bool,
}

impl Lines {
    fn level(&self) -> LevelFilter {
        Level::from_number(self.level.load(Ordering::Relaxed)).filter()
    }
}

impl Subscriber for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let limit = if metadata.target().starts_with(OWN) {
            self.level()
        } else {
            self.level().min(LevelFilter::WARN)
        };
        metadata.is_event() && *metadata.level() <= limit
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level())
    }

    fn event(&self, event: &Event<'_>) {
        let line = self.format.line(event, self.colours);
        // Nobody can be told that nobody listens.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        // No span is enabled, so this one is never asked about.
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

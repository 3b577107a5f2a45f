//! Events of `libcontainer`, which says in them what its errors leave out: the path, the mount, the value.
//!
//! The first error event of a process is kept as the cause closest to the kernel; whoever reports the failure adds it.
//! With `--debug` every event goes to standard error too. A process of the runtime has one thread, so one slot is
//! enough; it is set before a clone and then each process has its own copy.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

static FIRST_ERROR: Mutex<Option<String>> = Mutex::new(None);

/// Starts listening. A second call changes nothing.
pub(crate) fn install(debug: bool) {
    let most = if debug { Level::DEBUG } else { Level::ERROR };
    let _ = tracing::subscriber::set_global_default(Listener { most });
}

/// Takes what the first error event said.
pub(crate) fn take_first_error() -> Option<String> {
    FIRST_ERROR.lock().ok()?.take()
}

struct Listener {
    most: Level,
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.most
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(self.most.into())
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let text = text.finish();
        if self.most > Level::ERROR {
            let _ = writeln!(io::stderr(), "{} {text}", event.metadata().level());
        }
        if *event.metadata().level() == Level::ERROR
            && let Ok(mut first) = FIRST_ERROR.lock()
        {
            first.get_or_insert(text);
        }
    }

    // Spans carry nothing that is needed here.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// The message of an event and its fields after it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn finish(self) -> String {
        if self.fields.is_empty() { self.message } else { format!("{} ({})", self.message, self.fields) }
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let result = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            let separator = if self.fields.is_empty() { "" } else { ", " };
            write!(self.fields, "{separator}{}: {value:?}", field.name())
        };
        // Writing to a string cannot fail.
        let _ = result;
    }
}

//! Reading the configuration again while the daemon runs.

use crate::args::Args;
use crate::config::{self, LoadError, Loaded, RELOADABLE, Sources};
use crate::logging::Log;
use crate::names::Names;
use gantry_oci::Runtime;
use gantry_supervisor::{Reconfigure, Supervisor};
use tracing::{error, info, warn};

/// Everything that a reload needs.
pub(crate) struct Reloader {
    sources: Sources,
    loaded: Loaded,
    log: Log,
}

impl Reloader {
    /// Remembers what is in force.
    pub(crate) fn new(sources: Sources, loaded: Loaded, log: Log) -> Self {
        Self { sources, loaded, log }
    }

    /// What was in force at the start, or since the last reload.
    pub(crate) fn args(&self) -> &Args {
        &self.loaded.args
    }

    /// The file that the settings were read from, for the log.
    pub(crate) fn file(&self) -> Option<String> {
        self.loaded.file.as_ref().map(|path| path.display().to_string())
    }

    /// Reads the configuration, puts into force what can be, and says what is; a broken one changes nothing.
    pub(crate) fn reload(&mut self, names: &Names, supervisor: &Supervisor) {
        let new = match self.sources.load(names) {
            Ok(new) => new,
            Err(LoadError::Other(error)) => return still_the_old(&error),
            Err(LoadError::Usage(error)) => return still_the_old(&error),
        };
        let changed = config::changed(&self.loaded, &new);
        if changed.is_empty() {
            info!(file = self.file(), "configuration read again: nothing has changed");
        }
        for name in changed {
            let text =
                |loaded: &Loaded| loaded.texts.get(name).map(|values| values.join(" ")).unwrap_or_default();
            let (from, to) = (text(&self.loaded), text(&new));
            if RELOADABLE.contains(&name) {
                info!(setting = name, from, to, "a setting has changed");
            } else {
                warn!(setting = name, from, to, "a changed setting waits for a restart of the daemon");
            }
        }
        apply(&new.args, &self.log, supervisor);
        // What waits for a restart is told each time until then.
        let waiting = |name: &String| !RELOADABLE.contains(&name.as_str());
        let old = self.loaded.texts.iter().filter(|(name, _)| waiting(name));
        let old: Vec<_> = old.map(|(name, values)| (name.clone(), values.clone())).collect();
        self.loaded = new;
        self.loaded.texts.extend(old);
    }
}

fn still_the_old(error: &dyn std::fmt::Display) {
    let text = error.to_string();
    error!(reason = text.trim(), "the configuration cannot be used; the old one stays in force");
}

fn apply(args: &Args, log: &Log, supervisor: &Supervisor) {
    log.set_level(args.level());
    supervisor.reconfigure(Reconfigure {
        runtime: Runtime::new(args.runtime.clone(), args.runtime_args.clone()),
        start_timeout: args.start_timeout,
        retain_events: args.retain_events(),
    });
}

//! Freezing and thawing all processes of a cgroup.
//!
//! Version 1: `freezer.state` takes `FROZEN` and `THAWED` and reads `FREEZING` on the way; a process that forks
//! meanwhile can hold it there until the state is written again. Version 2: `cgroup.freeze` takes `1` and `0`, and
//! `cgroup.events` tells by `frozen 1` that it is done.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::cgroup::{Cgroup, step, write};
use crate::error::{Error, Result};

const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(1);

impl Cgroup {
    /// Stops every process and waits until all have stopped. What could not be stopped runs on.
    pub(crate) fn freeze(&self) -> Result<()> {
        let result = self.set_frozen(true);
        if result.is_err() {
            let _ = self.set_frozen(false);
        }
        result
    }

    /// Lets every process run again.
    pub(crate) fn thaw(&self) -> Result<()> {
        self.set_frozen(false)
    }

    /// Whether the processes are frozen. Without a freezer nothing ever is.
    pub(crate) fn is_frozen(&self) -> bool {
        let Some(dir) = self.controller("freezer") else { return false };
        if self.is_v2() { frozen_v2(&dir) } else { state_v1(&dir).as_deref() == Some("FROZEN") }
    }

    fn set_frozen(&self, freeze: bool) -> Result<()> {
        let Some(dir) = self.controller("freezer") else {
            return Err(Error::Unsupported("freezing: no freezer hierarchy is mounted".to_owned()));
        };
        let (name, value) = match (self.is_v2(), freeze) {
            (true, true) => ("cgroup.freeze", "1"),
            (true, false) => ("cgroup.freeze", "0"),
            (false, true) => ("freezer.state", "FROZEN"),
            (false, false) => ("freezer.state", "THAWED"),
        };
        let file = dir.join(name);
        let deadline = Instant::now() + PATIENCE;
        loop {
            write(&file, value).map_err(step(if freeze { "freeze" } else { "thaw" }, &file))?;
            if self.is_frozen() == freeze {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let wanted = if freeze { "frozen" } else { "thawed" };
                return Err(Error::Freezer { path: dir, wanted, seconds: PATIENCE.as_secs() });
            }
            thread::sleep(PAUSE);
        }
    }
}

fn state_v1(dir: &Path) -> Option<String> {
    fs::read_to_string(dir.join("freezer.state")).ok().map(|state| state.trim().to_owned())
}

fn frozen_v2(dir: &Path) -> bool {
    fs::read_to_string(dir.join("cgroup.events")).is_ok_and(|events| events.lines().any(|l| l == "frozen 1"))
}

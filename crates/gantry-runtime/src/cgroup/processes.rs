//! The processes of a cgroup, those of the cgroups below it included.

use gantry_record::failpoint;
use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::Pid;

use crate::cgroup::{Cgroup, step, write};
use crate::error::Result;
use crate::process::Identity;
use crate::signal::SignalNumber;

/// How often all processes are killed before giving up on those that fork faster.
const KILL_ROUNDS: u32 = 100;
const KILL_PAUSE: Duration = Duration::from_millis(5);

impl Cgroup {
    /// The processes, by their pids on this side. None if there is no such cgroup.
    pub(crate) fn pids(&self) -> Result<Vec<Pid>> {
        let mut pids = Vec::new();
        if let Some(dir) = self.any_dir() {
            collect(&dir, &mut pids).map_err(step("list processes of", dir))?;
        }
        pids.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
        pids.dedup();
        Ok(pids)
    }

    /// Sends a signal to every process. Says how many got it.
    ///
    /// The cgroup is frozen meanwhile, where it can be, so that no process escapes by forking and no pid changes
    /// hands between reading and killing.
    pub(crate) fn signal_all(&self, signal: SignalNumber) -> Result<usize> {
        let was_frozen = self.is_frozen();
        let frozen = was_frozen || self.freeze().is_ok();
        failpoint::at("runtime::kill::frozen");
        let result = self.pids().map(|pids| {
            let sent =
                |pid: &Pid| Identity::of(*pid).and_then(|process| process.send(signal)).unwrap_or(false);
            pids.iter().filter(|pid| sent(pid)).count()
        });
        // What is to die must run for that. What the user had paused stays so otherwise.
        if frozen && (!was_frozen || signal == SignalNumber::KILL) {
            self.thaw()?;
        }
        result
    }

    /// Kills every process, again and again until there is none. Those that were killed may still be going.
    pub(crate) fn kill_all(&self) -> Result<()> {
        if self.is_v2()
            && let Some(dir) = self.any_dir()
            && write(&dir.join("cgroup.kill"), "1").is_ok()
        {
            return Ok(());
        }
        for _ in 0..KILL_ROUNDS {
            if self.pids()?.is_empty() || self.signal_all(SignalNumber::KILL)? == 0 {
                return Ok(());
            }
            thread::sleep(KILL_PAUSE);
        }
        Ok(())
    }
}

fn collect(dir: &Path, pids: &mut Vec<Pid>) -> io::Result<()> {
    let text = match fs::read_to_string(dir.join("cgroup.procs")) {
        // The container may remove its own cgroups while this looks.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(()),
        other => other?,
    };
    pids.extend(text.lines().filter_map(|line| line.parse().ok().and_then(Pid::from_raw)));
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), pids)?;
        }
    }
    Ok(())
}

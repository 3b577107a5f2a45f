//! What must not remain after a container has ended.

use crate::daemon::{client_files, is_daemon, state_dir, temporary_files};
use crate::scratch::files_below;
use crate::wait::try_wait_for;
use crate::{Scratch, runtime};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long the last steps of an ending container may take: its exit is reported before its shim has gone.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a scratch held at one moment: processes, mounts, cgroups, and files in the state dir, among the runtime's
/// records and in `TMPDIR`. The daemon itself does not count, so that it may be restarted.
#[derive(Debug)]
pub struct Leaks {
    scratch: Arc<Scratch>,
    before: Facts,
}

/// What tells things apart, and how they are shown. A process's command is none of the former: it may not have come to its
/// execve yet.
type Facts = BTreeMap<String, String>;

impl Leaks {
    /// Remembers what is there.
    #[must_use]
    pub fn snapshot(scratch: &Arc<Scratch>) -> Self {
        Self { scratch: Arc::clone(scratch), before: facts(scratch) }
    }

    /// Insists that nothing has come since the snapshot, or that it goes in a moment.
    ///
    /// # Panics
    /// With a list of what is left.
    pub fn assert_clean(&self) {
        let left = self.left_behind();
        assert!(left.is_empty(), "left behind:\n  {}", left.join("\n  "));
    }

    /// What has come since the snapshot and does not go in a moment.
    #[must_use]
    pub fn left_behind(&self) -> Vec<String> {
        let mut left = Vec::new();
        let _ = try_wait_for(SETTLE_TIMEOUT, || {
            left = self.news();
            left.is_empty().then_some(())
        });
        left
    }

    fn news(&self) -> Vec<String> {
        let now = facts(&self.scratch);
        now.into_iter().filter(|(fact, _)| !self.before.contains_key(fact)).map(|(_, shown)| shown).collect()
    }
}

fn facts(scratch: &Scratch) -> Facts {
    let processes = scratch.processes().into_iter().filter(|process| {
        let program = process.command.split(' ').next().unwrap_or_default();
        // Neither does its resident parent of shims, of which there is another after a restart.
        !is_daemon(Path::new(program)) && process.command.trim_end() != "gantry-runtime resident"
    });
    let processes = processes.map(|process| {
        (format!("process {}", process.pid), format!("process {}: {}", process.pid, process.command))
    });
    let mounts = scratch.mounts().into_iter().map(|point| format!("mount {}", point.display()));
    // The parent of all containers' cgroups is the scratch's own; runtimes make it and leave it.
    let containers_only = |folder: &PathBuf| !folder.ends_with(scratch.cgroup());
    let cgroups = scratch.cgroup_folders().into_iter().filter(containers_only);
    let cgroups = cgroups.map(|folder| format!("cgroup {}", folder.display()));
    let folders = [state_dir, runtime::root, temporary_files, client_files].map(|folder| folder(scratch));
    let files = folders.iter().flat_map(|folder| {
        files_below(folder)
            .into_iter()
            .filter(|file| !is_expected(file))
            .map(move |file| format!("file {}", folder.join(file).display()))
    });
    processes.chain(mounts.chain(cgroups).chain(files).map(|fact| (fact.clone(), fact))).collect()
}

/// Files that a running daemon or runtime makes and keeps, a bounded number of them: the event log, how containers
/// ended, and crun's cache of seccomp programs.
fn is_expected(file: &Path) -> bool {
    file.starts_with(".cache")
        || (file.components().count() == 1
            && file.to_str().is_some_and(|name| name == "ended.log" || name.starts_with("events.log")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn finds_a_file_and_keeps_silent_about_the_event_log() {
        let scratch = Scratch::new();
        let state = state_dir(&scratch);
        fs::create_dir(&state).unwrap();
        let leaks = Leaks::snapshot(&scratch);
        fs::write(state.join("events.log"), b"").unwrap();
        leaks.assert_clean();
        fs::create_dir(state.join("c1")).unwrap();
        assert_eq!(leaks.news(), [format!("file {}", state.join("c1").display())]);
    }
}

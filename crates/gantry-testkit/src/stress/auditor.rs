//! What must not remain when everything has ended.

use super::ledger::{Ledger, Wrong};
use super::world::World;
use crate::process::all;
use crate::{Leaks, wait};
use gantry_record::proc::ProcStat;
use std::fs;
use std::time::Duration;

/// How long a quiet daemon may take to close what it no longer needs.
const QUIET: Duration = Duration::from_secs(10);
/// What the daemon may have grown by, between the warm-up and the end, both times with no container, in KB.
pub(super) const GROWTH_LIMIT: u64 = 8 << 10;

/// What a daemon uses while it has nothing to do.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) memory: u64,
    pub(super) descriptors: Vec<String>,
}

impl Use {
    pub(super) fn of(world: &World) -> Self {
        let daemon = world.daemon();
        Self { memory: memory_kb(daemon.pid()), descriptors: daemon.open_fds() }
    }
}

/// Compares what is there with what was there before the run.
pub(super) fn audit(world: &World, leaks: &Leaks, ledger: &Ledger, before: &Use) -> Use {
    tell_leaks(leaks, ledger);
    for zombie in zombies(world) {
        ledger.problem(Wrong::Leak, None, zombie);
    }
    let mut now = Use::of(world);
    // A subscriber's connection closes when its client has gone.
    let _ = wait::try_wait_for(QUIET, || {
        now = Use::of(world);
        (now.descriptors.len() <= before.descriptors.len()).then_some(())
    });
    if now.descriptors.len() > before.descriptors.len() {
        let text = format!(
            "the daemon has {} descriptors, and had {}: {}",
            now.descriptors.len(),
            before.descriptors.len(),
            now.descriptors.join(", ")
        );
        ledger.problem(Wrong::Leak, None, text);
    }
    if now.memory > before.memory + GROWTH_LIMIT {
        let text = format!(
            "the daemon uses {} KB of memory, and used {} KB after the warm-up",
            now.memory, before.memory
        );
        ledger.problem(Wrong::Leak, None, text);
    }
    for line in panics(&world.daemon().log()) {
        ledger.problem(Wrong::Panic, None, line);
    }
    now
}

fn tell_leaks(leaks: &Leaks, ledger: &Ledger) {
    for left in leaks.left_behind() {
        ledger.problem(Wrong::Leak, container_in(&left, ledger).as_deref(), left.clone());
    }
}

/// The id of ours that stands in a line, for its history.
fn container_in(line: &str, ledger: &Ledger) -> Option<String> {
    let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|word| ledger.knows(word)).map(ToOwned::to_owned).next()
}

/// Lines of a log that tell of a panic.
fn panics(log: &str) -> Vec<String> {
    log.lines().filter(|line| line.contains("panicked")).map(ToOwned::to_owned).collect()
}

/// What has ended below the daemon or its helpers, and is not reaped.
fn zombies(world: &World) -> Vec<String> {
    let mut parents: Vec<i32> = world.scratch.processes().iter().map(|process| process.pid).collect();
    parents.extend(i32::try_from(std::process::id()));
    let mut found = Vec::new();
    // One that is just being reaped is gone at the second look.
    let _ = wait::try_wait_for(QUIET, || {
        found = all().filter(|pid| is_zombie_of(*pid, &parents)).collect();
        found.is_empty().then_some(())
    });
    found.iter().map(|pid: &i32| format!("zombie {pid}")).collect()
}

fn is_zombie_of(pid: i32, parents: &[i32]) -> bool {
    ProcStat::of(pid).is_some_and(|stat| stat.is_zombie() && parents.contains(&stat.parent))
}

/// Its share of the memory that it uses.
fn memory_kb(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fifo, Scratch, mounts, wait_until};
    use std::process::Command;

    #[test]
    fn a_panic_is_found_in_a_log() {
        let log = "all well\nthread 'main' panicked at src/a.rs:1:2\n";
        assert_eq!(panics(log), ["thread 'main' panicked at src/a.rs:1:2"]);
        assert!(panics("all well").is_empty());
    }

    #[test]
    fn a_cgroup_and_a_fifo_that_are_left_are_told() {
        let scratch = Scratch::new();
        let state = crate::daemon::state_dir(&scratch);
        fs::create_dir(&state).unwrap();
        let (leaks, ledger) = (Leaks::snapshot(&scratch), Ledger::default());
        let hierarchy = mounts::all().into_iter().find(|mount| mount.kind.starts_with("cgroup")).unwrap();
        let cgroup = hierarchy.point.join(scratch.cgroup()).join("c1-1");
        fs::create_dir_all(&cgroup).unwrap();
        let fifo = Fifo::create(state.join("exit"));
        tell_leaks(&leaks, &ledger);
        let told: Vec<String> = ledger.problems().into_iter().map(|problem| problem.text).collect();
        let expected = [format!("cgroup {}", cgroup.display()), format!("file {}", fifo.path().display())];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_process_that_ended_and_was_not_reaped_is_found() {
        let mut child = Command::new("true").spawn().unwrap();
        let (pid, own) = (i32::try_from(child.id()).unwrap(), i32::try_from(std::process::id()).unwrap());
        wait_until("its end", Duration::from_secs(5), || is_zombie_of(pid, &[own]));
        child.wait().unwrap();
        assert!(!is_zombie_of(pid, &[own]));
    }

    #[test]
    fn a_leak_is_laid_at_its_containers_door() {
        let ledger = Ledger::default();
        ledger.ask("c1-2", "init", &[0], "");
        assert_eq!(container_in("cgroup /sys/fs/cgroup/x/c1-2", &ledger).as_deref(), Some("c1-2"));
        assert_eq!(container_in("file /tmp/state/c1-20/exit", &ledger), None);
    }
}

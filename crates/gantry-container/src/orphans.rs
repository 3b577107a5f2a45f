//! The daemon as the parent of what its shims leave behind.
//!
//! A process whose shim is gone becomes the child of the nearest subreaper above (`PR_SET_CHILD_SUBREAPER(2const)`), or of
//! process 1, which on many a machine reaps nobody; and the kernel tells how a process ended only once it has been
//! reaped. So the daemon is that subreaper as soon as it lets processes outlive their shims. A process that it knows
//! is reaped when it ends ([`Identity::reap`]); this module reaps all the others: what those have started and left.
//!
//! Which of its children are its own commands, for whose end somebody waits, cannot be seen. But those are reaped
//! within moments. So only what has stayed a zombie for a whole period is taken for an orphan.

use crate::process::Identity;
use gantry_record::proc::ProcStat;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::collections::HashSet;
use std::fs;
use std::io;
use std::sync::Mutex;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{debug, warn};

/// How long a child may be a zombie before it is taken for nobody's.
const PERIOD: Duration = Duration::from_secs(5);

/// Whether this daemon takes orphans in.
#[derive(Debug, Default)]
pub struct Orphans {
    taken_in: Mutex<bool>,
}

/// A zombie: pid and start time.
type Zombie = (i32, u64);

impl Orphans {
    /// From now on orphans below this process become its children, and are reaped; needs a tokio runtime.
    pub fn take_in(&self) {
        let mut taken_in = self.taken_in.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !*taken_in {
            match begin() {
                Ok(()) => *taken_in = true,
                Err(error) => warn!(%error, "orphans of dead shims are left to process 1"),
            }
        }
    }
}

fn begin() -> io::Result<()> {
    // First the ears, then the children.
    let ended = signal(SignalKind::child())?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    tokio::spawn(reap(ended, PERIOD));
    Ok(())
}

async fn reap(mut ended: Signal, period: Duration) {
    let mut known = HashSet::new();
    while ended.recv().await.is_some() {
        loop {
            tokio::time::sleep(period).await;
            let zombies = zombies();
            for (pid, _) in zombies.intersection(&known) {
                reap_one(*pid);
            }
            known = &zombies - &known;
            if known.is_empty() {
                break;
            }
        }
    }
}

/// This process's children that have ended and that nobody has waited for.
fn zombies() -> HashSet<Zombie> {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // Most often there is none, and then this says so at once.
    if !matches!(waitid(WaitId::All, look), Ok(Some(_))) {
        return HashSet::new();
    }
    // A child is in the list of the thread that made it (`proc_tid_children(5)`).
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let pids: Vec<i32> = lists
        .flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    let zombie = |pid| ProcStat::of(pid).filter(ProcStat::is_zombie).map(|stat| (pid, stat.start_time));
    pids.into_iter().filter_map(zombie).collect()
}

fn reap_one(pid: i32) {
    let Some(id) = Pid::from_raw(pid) else { return };
    // As long as it is a zombie the number is its own; nothing is left to do if somebody was quicker.
    let reaped = waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    debug!(pid, reaped = reaped.is_ok(), "an orphan has ended");
}

impl Identity {
    /// Waits until this process has ended and reaps it, if it is a child that others have left to this daemon.
    /// `before` is told the wait status while the process still is there for others to see.
    pub(crate) async fn reap(&self, before: impl FnOnce(i32)) {
        while !self.ended_within(Duration::from_secs(60 * 60)).await {}
        let Some(id) = Pid::from_raw(self.pid) else { return };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        // Not a child (any more): then somebody else reaps it.
        let Ok(Some(status)) = waitid(WaitId::Pid(id), options | WaitIdOptions::NOWAIT) else { return };
        if ProcStat::of(self.pid).map(|stat| stat.start_time) == self.start_time {
            before(wait_status(&status));
            reap_one(self.pid);
        }
    }
}

/// As wait(2) would have it.
fn wait_status(status: &rustix::process::WaitIdStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => (code & 0xFF) << 8,
        (None, Some(signal)) => signal & 0x7F,
        (None, None) => 0xFF << 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Identity;
    use std::process::Command;

    /// A child of this test that behaves like an orphan: nobody waits for it.
    #[allow(clippy::zombie_processes, reason = "that it is one is the point")]
    fn neglected(script: &str) -> Identity {
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        Identity::of(i32::try_from(child.id()).unwrap(), None)
    }

    #[tokio::test]
    async fn a_process_that_was_left_is_reaped_with_its_status() {
        for (script, expected) in [("exit 42", 42 << 8), ("kill -9 $$", 9)] {
            let process = neglected(script);
            let mut told = None;
            process.reap(|status| told = Some(status)).await;
            assert_eq!(told, Some(expected));
            assert!(ProcStat::of(process.pid).is_none(), "still a zombie");
        }
    }

    #[tokio::test]
    async fn zombies_go_after_a_period_and_what_somebody_waits_for_does_not() {
        let ended = signal(SignalKind::child()).unwrap();
        tokio::spawn(reap(ended, Duration::from_secs(1)));
        let mut waited_for = tokio::process::Command::new("sh").args(["-c", "exit 3"]).spawn().unwrap();
        let orphan = neglected("exit 0");
        assert_eq!(waited_for.wait().await.unwrap().code(), Some(3));
        while ProcStat::of(orphan.pid).is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

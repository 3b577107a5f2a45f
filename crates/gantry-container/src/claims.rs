//! Whose pid that is: what the records of a process say of it, weighed against each other and against what runs.
//!
//! A pid with its start time names one process of this boot for certain. Where one of the two is missing or damaged, or
//! the event log says otherwise, a number alone proves nothing: then the process has to be a child of the shim that
//! stands in its folder, or it is not taken, and never signalled.

use crate::process::Identity;
use crate::restore::{shims, stands_in};
use gantry_record::layout::name;
use gantry_record::proc::ProcStat;
use gantry_record::{ContainerId, ProcessDir, ProcessId, Result};
use tracing::warn;

/// The deepest chain of parents that is followed.
const MAX_DEPTH: usize = 64;

/// Under which pid and start time a process's start was told, if its end has not been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The pid on the host.
    pub pid: i32,
    /// Its start time, 0 for one that ended before anybody looked.
    pub start_time: u64,
}

impl Told {
    fn identity(self) -> Identity {
        Identity::of(self.pid, Some(self.start_time))
    }
}

/// A process's folder, and what is known of it from elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) container: &'a ContainerId,
    pub(crate) process: &'a ProcessId,
    pub(crate) dir: &'a ProcessDir,
    pub(crate) told: Option<Told>,
}

impl Claim<'_> {
    /// Who runs, or has run. `None` for a process of which nothing says that it was ever made.
    ///
    /// # Errors
    /// When the records are damaged and nothing else tells.
    pub(crate) fn settle(&self) -> Result<Option<Identity>> {
        let (pid, start_time) = (self.dir.pid(), self.dir.start_time());
        let (mut known_pid, mut known_time) = (pid.as_ref().ok().copied().flatten(), None);
        let damage = match (&pid, &start_time) {
            (Ok(Some(pid)), Ok(Some(start_time))) => {
                let recorded = Identity::of(*pid, Some(*start_time));
                let agreed = self.told.map(|told| told == Told { pid: *pid, start_time: *start_time });
                if agreed == Some(true) || self.is_child_of_shim(&recorded) {
                    return Ok(Some(recorded));
                }
                // Nobody else knows anything of it: as in 0.2, the two together are enough.
                if agreed.is_none() && !self.has_shim() {
                    return Ok(Some(recorded));
                }
                if recorded.is_alive() {
                    (known_pid, known_time) = (None, None);
                    "pid and start time are those of another process".to_owned()
                } else {
                    known_time = Some(*start_time);
                    "pid and start time are not those that were told".to_owned()
                }
            }
            (Ok(None), _) if self.told.is_none() => return Ok(None),
            (Ok(None), _) => "there is no pid".to_owned(),
            (Err(error), time) => {
                known_time = time.as_ref().ok().copied().flatten();
                error.to_string()
            }
            (_, Err(error)) => error.to_string(),
            (Ok(Some(_)), Ok(None)) => "there is no start time".to_owned(),
        };
        let found = self.told.map(Told::identity).or_else(|| self.child(known_pid, known_time));
        let (container, process) = (self.container, self.process);
        match (found, pid) {
            (Some(found), _) => {
                warn!(
                    %container, %process, %damage, pid = found.pid,
                    "a record of the process is damaged; what was told of it, or its shim, says who it is"
                );
                Ok(Some(found))
            }
            // It may long be a stranger's: nothing of that number is ever taken for it.
            (None, Ok(Some(pid))) => Ok(Some(Identity::recorded(pid, Some(known_time.unwrap_or(0))))),
            (None, Ok(None)) => Ok(None),
            (None, Err(error)) => Err(error),
        }
    }

    /// The processes that are this one's beyond doubt and still run: to be ended when it is given up.
    pub(crate) fn living(&self) -> Vec<Identity> {
        let mut living = self.children();
        living.extend(self.told.map(Told::identity));
        living.retain(Identity::is_alive);
        living.sort_by_key(|process| process.pid);
        living.dedup_by_key(|process| process.pid);
        living
    }

    /// The shim's child that is meant: the one with the pid, else the one with the start time. The only one, if neither
    /// is known; it might be an orphan of the process, so that is the last resort.
    fn child(&self, pid: Option<i32>, start_time: Option<u64>) -> Option<Identity> {
        let mut children = self.children();
        let by_pid = children.iter().position(|child| Some(child.pid) == pid);
        let by_time =
            children.iter().position(|child| start_time.is_some() && child.start_time == start_time);
        // A number that is somebody else's now is no better than none.
        let is_unknown = pid.is_none_or(|pid| ProcStat::of(pid).is_some());
        let only = if is_unknown && children.len() == 1 { Some(0) } else { None };
        let meant = by_pid.or(by_time).or(only)?;
        Some(children.swap_remove(meant))
    }

    fn children(&self) -> Vec<Identity> {
        if !self.has_shim() {
            return Vec::new();
        }
        let children_of = |shim: Identity| {
            let list =
                std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", shim.pid)).unwrap_or_default();
            let pids: Vec<i32> = list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect();
            // Identified first, then looked at: so it is that process of which something is known.
            let children = pids.into_iter().map(|pid| Identity::of(pid, None));
            children.filter(move |child| ProcStat::of(child.pid).is_some_and(|stat| stat.parent == shim.pid))
        };
        shims(self.container, self.dir.path()).flat_map(children_of).collect()
    }

    /// Whether there may be a shim: nobody else holds the FIFO, if it is one.
    pub(crate) fn has_shim(&self) -> bool {
        gantry_record::fifo::has_writer(&self.dir.file(name::EXIT)).unwrap_or(true)
    }

    /// Whether it runs beside the shim of this folder. Asked of every process at every start of the daemon, so it looks at
    /// the two alone.
    fn is_child_of_shim(&self, process: &Identity) -> bool {
        let stat = ProcStat::of(process.pid).filter(|stat| process.start_time == Some(stat.start_time));
        stat.is_some_and(|stat| stands_in(stat.parent, self.dir.path()))
    }
}

/// Whether `pid` is `ancestor` or was made by it or by what it made, as far as the parents are still there.
pub(crate) fn descends_from(pid: i32, ancestor: i32) -> bool {
    let mut at = pid;
    for _ in 0..MAX_DEPTH {
        if at == ancestor {
            return true;
        }
        match ProcStat::of(at) {
            Some(stat) if stat.parent > 0 => at = stat.parent,
            _ => return false,
        }
    }
    false
}

/// Whether both are in the same cgroups, and these are not the daemon's own.
pub(crate) fn shares_cgroup(pid: i32, other: i32) -> bool {
    let of = |who: &str| std::fs::read_to_string(format!("/proc/{who}/cgroup")).ok();
    let theirs = of(&pid.to_string());
    theirs.is_some() && theirs == of(&other.to_string()) && theirs != of("self")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::{Child, Command};

    struct Sleeper(Child);

    impl Sleeper {
        fn start() -> Self {
            Self(Command::new("sleep").arg("600").spawn().unwrap())
        }

        fn told(&self) -> Told {
            let pid = i32::try_from(self.0.id()).unwrap();
            Told { pid, start_time: ProcStat::of(pid).unwrap().start_time }
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_number_alone_proves_nothing_and_what_was_told_does() {
        let folder = tempfile::tempdir().unwrap();
        let (own, other) = (Sleeper::start(), Sleeper::start());
        let (container, process) = (ContainerId::new("c").unwrap(), ProcessId::init());
        let dir = ProcessDir::new(folder.path().to_owned());
        let settle = |pid: &str, start_time: &str, told| {
            fs::write(dir.file(name::PID), pid).unwrap();
            fs::write(dir.file(name::START_TIME), start_time).unwrap();
            Claim { container: &container, process: &process, dir: &dir, told }.settle()
        };
        let (own, other) = (own.told(), other.told());
        let (pid, time) = (own.pid.to_string(), own.start_time.to_string());
        let taken = |found: Result<Option<Identity>>| {
            let found = found.unwrap().unwrap();
            (found.pid, found.is_alive())
        };
        assert_eq!(taken(settle(&pid, &time, Some(own))), (own.pid, true));
        for (pid, time) in [("1", &*time), ("-1", &time), ("", &time), (&pid, ""), (&pid, "x"), ("x", "y")] {
            assert_eq!(taken(settle(pid, time, Some(own))), (own.pid, true), "{pid:?} {time:?}");
        }
        // Somebody else's pid, with or without its start time, is not ours by being written there.
        let stranger = other.pid.to_string();
        assert_eq!(taken(settle(&stranger, &other.start_time.to_string(), Some(own))), (own.pid, true));
        let found = settle(&stranger, &other.start_time.to_string(), None).unwrap().unwrap();
        assert!(!found.is_alive(), "there may be a shim, and it is not its parent");
        for time in ["", "0", "x"] {
            let found = settle(&stranger, time, None).unwrap().unwrap();
            assert!(!found.is_alive(), "{time:?}");
            assert!(found.signal(0).is_err(), "{time:?}");
        }
        assert!(settle("x", "", None).is_err());
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(descends_from(own.pid, me) && descends_from(me, me) && !descends_from(me, own.pid));
    }
}

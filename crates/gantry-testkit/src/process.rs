//! Processes as seen in `/proc`, ended by their id and never by name.

use crate::wait::try_wait_for;
use gantry_record::proc::ProcStat;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// One process: its number together with its start time, so that a later process of the same number is another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its pid here.
    pub pid: i32,
    /// Clock ticks since boot at which it started.
    pub start_time: u64,
    /// Its command line, for messages.
    pub command: String,
}

impl Process {
    /// Looks the process up; `None` when there is none, or only a zombie.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let stat = ProcStat::of(pid).filter(|stat| !stat.is_zombie())?;
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&arguments).replace('\0', " ").trim_end().to_owned();
        Some(Self { pid, start_time: stat.start_time, command })
    }

    /// Whether it still runs; a zombie does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        ProcStat::of(self.pid).is_some_and(|stat| stat.start_time == self.start_time && !stat.is_zombie())
    }

    /// Its parent's pid, while it is there.
    #[must_use]
    pub fn parent(&self) -> Option<i32> {
        ProcStat::of(self.pid).filter(|stat| stat.start_time == self.start_time).map(|stat| stat.parent)
    }

    /// Sends a signal. One that is gone gets none, and neither does another process that has its number now.
    pub fn signal(&self, signal: Signal) {
        if let Some(handle) = self.handle() {
            // The process may end at any moment, which is as good.
            let _ = pidfd_send_signal(&handle, signal);
        }
    }

    /// A handle on exactly this process. The start time is compared after the handle was taken: from then on the
    /// number cannot change hands.
    fn handle(&self) -> Option<OwnedFd> {
        let handle = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        self.is_alive().then_some(handle)
    }

    /// Waits until it has ended; whether it has.
    #[must_use]
    pub fn ends_within(&self, timeout: Duration) -> bool {
        try_wait_for(timeout, || (!self.is_alive()).then_some(())).is_some()
    }
}

/// All processes of this machine, except this one.
pub(crate) fn all() -> impl Iterator<Item = i32> {
    let own = i32::try_from(std::process::id()).unwrap();
    fs::read_dir("/proc")
        .expect("read /proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(move |pid| *pid != own)
}

/// Whether a process has to do with `folder`: its program, its working directory, an argument, or the root of its
/// mount namespace is there, or it is in the cgroup `cgroup`.
pub(crate) fn belongs_to(pid: i32, folder: &Path, cgroup: &str) -> bool {
    let proc = Path::new("/proc").join(pid.to_string());
    let folder_text = folder.to_str().expect("a temporary folder with a readable name");
    let links_there =
        |name: &str| fs::read_link(proc.join(name)).is_ok_and(|target| target.starts_with(folder));
    let mentions = |name: &str, text: &str| {
        fs::read(proc.join(name)).is_ok_and(|content| String::from_utf8_lossy(&content).contains(text))
    };
    links_there("exe")
        || links_there("cwd")
        || mentions("cmdline", folder_text)
        || mentions("cgroup", cgroup)
        // After pivot_root the links say `/`; only the mount table still names the bundle.
        || (in_another_mount_namespace(&proc) && mentions("mountinfo", folder_text))
}

fn in_another_mount_namespace(proc: &Path) -> bool {
    let theirs = fs::read_link(proc.join("ns/mnt"));
    let ours = fs::read_link("/proc/self/ns/mnt");
    matches!((theirs, ours), (Ok(theirs), Ok(ours)) if theirs != ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn finds_by_working_directory_and_ends_by_id() {
        let folder = tempfile::tempdir().unwrap();
        let mut child =
            Command::new("sleep").arg("60").current_dir(&folder).stdin(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(belongs_to(pid, folder.path(), "no-such-cgroup"));
        assert!(!belongs_to(pid, Path::new("/nonexistent"), "no-such-cgroup"));

        let process = Process::of(pid).unwrap();
        assert!(process.is_alive() && process.command == "sleep 60", "{process:?}");
        let other = Process { start_time: process.start_time + 1, ..process.clone() };
        other.signal(Signal::KILL);
        assert!(process.is_alive(), "a signal for another process of the same number must not arrive");
        process.signal(Signal::KILL);
        assert!(process.ends_within(Duration::from_secs(5)));
        child.wait().unwrap();
    }
}

//! Hearing of the kernel's out-of-memory kills in a container, by events.
//!
//! v1: an eventfd that is registered in `cgroup.event_control` for `memory.oom_control` (cgroup-v1/memory.rst,
//! section 10). v2: `memory.events` changes, which inotify tells; `oom_kill` counts (cgroup-v2.rst, Linux 4.13). The kernel
//! tells at most one change in 10 ms (`cgroup_file_notify`), so the process may have been seen to end before its kill is
//! told; whoever needs to know by then asks the [`OomCount`].

use super::{Cgroups, stats};
use crate::sys;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::unix::AsyncFd;

/// The right to wait for a container's next out-of-memory kill.
#[derive(Debug)]
pub struct OomWatch {
    events: AsyncFd<OwnedFd>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The folder, whose removal wakes the eventfd too.
    V1 {
        folder: PathBuf,
    },
    V2(OomCount),
}

/// The kernel's own count of kills in a container, of v2.
#[derive(Clone, Debug)]
pub struct OomCount {
    folder: PathBuf,
    /// The kills that somebody has taken note of.
    noted: Arc<AtomicU64>,
}

// === impl OomCount ===

impl OomCount {
    /// Reads the count, and whether there was a kill that nobody has taken note of; `None` when the cgroup is gone.
    #[must_use]
    pub fn has_new(&self) -> Option<bool> {
        kills(&self.folder).map(|now| self.is_new(now))
    }

    /// As [`OomCount::has_new`], for a count that was read before the cgroup went.
    #[must_use]
    pub fn is_new(&self, kills: u64) -> bool {
        kills > self.noted.fetch_max(kills, Ordering::AcqRel)
    }
}

impl Cgroups {
    /// Watches the container of `init`.
    ///
    /// # Errors
    /// `NotFound` when it has no memory cgroup, or what the kernel says.
    pub fn watch_oom(&self, init: i32) -> io::Result<OomWatch> {
        let folder = self.folder(init, "memory").ok_or(io::ErrorKind::NotFound)?;
        if stats::is_v2_memory(&folder) {
            let events = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
            let flags = inotify::WatchFlags::MODIFY | inotify::WatchFlags::DELETE_SELF;
            inotify::add_watch(&events, folder.join("memory.events"), flags)?;
            let noted = Arc::new(AtomicU64::new(kills(&folder).unwrap_or(0)));
            let kind = Kind::V2(OomCount { folder, noted });
            return Ok(OomWatch { events: sys::watch(events)?, kind });
        }
        let events = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let control = fs::File::open(folder.join("memory.oom_control"))?;
        let registration = format!("{} {}", events.as_raw_fd(), control.as_raw_fd());
        fs::write(folder.join("cgroup.event_control"), registration)?;
        Ok(OomWatch { events: sys::watch(events)?, kind: Kind::V1 { folder } })
    }
}

fn kills(folder: &Path) -> Option<u64> {
    let text = fs::read_to_string(folder.join("memory.events")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

// === impl OomWatch ===

impl OomWatch {
    /// The count that it goes by, where there is one.
    #[must_use]
    pub fn count(&self) -> Option<OomCount> {
        match &self.kind {
            Kind::V1 { .. } => None,
            Kind::V2(count) => Some(count.clone()),
        }
    }

    /// Waits for the next kill; `None` when the cgroup is gone.
    pub async fn next(&mut self) -> Option<()> {
        loop {
            let mut guard = self.events.readable().await.ok()?;
            let mut buffer = [0_u8; 1024];
            let read = guard.try_io(|fd| rustix::io::read(fd.get_ref(), &mut buffer).map_err(Into::into));
            drop(guard);
            match read {
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return None,
                Err(_) => continue,
            }
            match &self.kind {
                Kind::V1 { folder } => return folder.join("cgroup.event_control").exists().then_some(()),
                Kind::V2(count) => {
                    if count.has_new()? {
                        return Some(());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_new_once() {
        let folder = tempfile::tempdir().unwrap();
        let count = OomCount { folder: folder.path().to_owned(), noted: Arc::default() };
        assert_eq!(count.has_new(), None);
        let write =
            |kills| fs::write(folder.path().join("memory.events"), format!("max 7\noom_kill {kills}\n"));
        write(0).unwrap();
        assert_eq!(count.has_new(), Some(false));
        write(2).unwrap();
        let other = count.clone();
        assert_eq!((count.has_new(), other.has_new()), (Some(true), Some(false)));
        assert!(!count.is_new(2) && other.is_new(3) && !count.is_new(3));
    }
}

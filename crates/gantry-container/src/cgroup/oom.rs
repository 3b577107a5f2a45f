//! Hearing of the kernel's out-of-memory kills in a container, by events.
//!
//! v1: an eventfd that is registered in `cgroup.event_control` for `memory.oom_control` (cgroup-v1/memory.rst,
//! section 10). v2: `memory.events` changes, which inotify tells; `oom_kill` counts (cgroup-v2.rst, Linux 4.13).

use super::{Cgroups, stats};
use crate::sys;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
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
    V1 { folder: PathBuf },
    /// The folder, and the kills counted so far.
    V2 { folder: PathBuf, kills: u64 },
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
            let kills = kills(&folder).unwrap_or(0);
            return Ok(OomWatch { events: sys::watch(events)?, kind: Kind::V2 { folder, kills } });
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

impl OomWatch {
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
            match &mut self.kind {
                Kind::V1 { folder } => return folder.join("cgroup.event_control").exists().then_some(()),
                Kind::V2 { folder, kills: seen } => {
                    let now = kills(folder)?;
                    if now > *seen {
                        *seen = now;
                        return Some(());
                    }
                }
            }
        }
    }
}

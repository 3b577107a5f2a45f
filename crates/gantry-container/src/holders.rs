//! The daemon as second holder of what a shim holds for its process.
//!
//! While a process has no shim (it died, and is followed by another; or hands over to a newer one) its standard input must
//! not end, its writes must not fail, its terminal must not hang up. All of these are descriptors, so a second one that
//! is open elsewhere is all it takes. With `--on-shim-death=adopt` they are held at any time, else just for a
//! handover.

use gantry_record::container_log::LogTarget;
use gantry_record::layout::name;
use gantry_record::{ProcessDir, ProcessRecord, fifo};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is held for one process. Dropped when it has ended, so that its clients see end of file.
#[derive(Debug, Default)]
pub(crate) struct Holders(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// Standard input, open for writing: without it the process would read end of file.
    stdin: Option<OwnedFd>,
    /// Standard output and error, open for reading: without them the process's (or its shim's) writes would fail.
    _outputs: Vec<OwnedFd>,
    /// The same for what the shim logs; nobody else reads these.
    logs: Vec<OwnedFd>,
    /// The terminal's master side.
    terminal: Option<OwnedFd>,
}

impl Holders {
    /// Opens what `record` names and takes the terminal from the shim. What is no FIFO needs no holder.
    pub(crate) fn take(&self, record: &ProcessRecord, dir: &ProcessDir, shim: Option<i32>) {
        let has_terminal = record.terminal();
        let open = |path: &Path, access| fifo::open(path, access).ok();
        let stdin = (!dir.is_stdin_closed()).then(|| open(Path::new(&record.stdin), OFlags::RDWR)).flatten();
        // For writing too: the shim alone writes into a terminal's, and its client must not read end of file.
        let access = if has_terminal { OFlags::RDWR } else { OFlags::RDONLY };
        let (mut outputs, mut logs) = (Vec::new(), Vec::new());
        let streams = [(&record.stdout, name::STDOUT), (&record.stderr, name::STDERR)];
        for (path, log) in streams.into_iter().take(if has_terminal { 1 } else { 2 }) {
            match LogTarget::of_stream(path) {
                // Its reader is the shim, which must see the end of what others write.
                Ok(Some(_)) => logs.extend(open(&dir.file(log), OFlags::RDONLY)),
                _ => outputs.extend(open(Path::new(path), access)),
            }
        }
        let terminal = if has_terminal { shim.and_then(terminal_of) } else { None };
        *self.held() = Held { stdin, _outputs: outputs, logs, terminal };
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Whatever is in there is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of all of it.
    pub(crate) fn release(&self) {
        drop(std::mem::take(&mut *self.held()));
    }

    /// Lets go of standard input, as its client asked.
    pub(crate) fn close_stdin(&self) {
        self.held().stdin = None;
    }

    /// Whether there is output that no shim has logged yet.
    pub(crate) fn has_unlogged(&self) -> bool {
        self.held().logs.iter().any(|fifo| rustix::io::ioctl_fionread(fifo).is_ok_and(|bytes| bytes > 0))
    }

    /// Another descriptor of the terminal's master side.
    pub(crate) fn terminal(&self) -> Option<OwnedFd> {
        self.held().terminal.as_ref()?.try_clone().ok()
    }
}

/// A copy of the terminal's master side that a shim has open (pidfd_getfd(2), Linux 5.6).
fn terminal_of(shim: i32) -> Option<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_raw(shim)?, PidfdFlags::empty()).ok()?;
    let descriptors = std::fs::read_dir(format!("/proc/{shim}/fd")).ok()?;
    let is_master = |path: &Path| path == Path::new("/dev/ptmx") || path == Path::new("/dev/pts/ptmx");
    let number = descriptors.flatten().find_map(|entry| {
        let target = std::fs::read_link(entry.path()).ok()?;
        is_master(&target).then(|| entry.file_name().to_str()?.parse().ok())?
    })?;
    pidfd_getfd(pidfd, number, PidfdGetfdFlags::empty()).ok()
}

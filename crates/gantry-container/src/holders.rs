//! The daemon as second holder of what a shim holds for its process.
//!
//! With `--on-shim-death=adopt` a shim's death must not reach the process: its standard input must not end, its
//! writes must not fail, its terminal must not hang up. All of these are descriptors, so a second one that is
//! open elsewhere is all it takes.

use gantry_record::{ProcessRecord, fifo};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is held for one process. Dropped when it has ended, so that its clients see end of file.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    /// Standard input, open for writing: without it the process would read end of file.
    stdin: Mutex<Option<OwnedFd>>,
    /// Standard output and error, open for reading: without them the process's (or its shim's) writes would fail.
    _outputs: Vec<OwnedFd>,
    /// The terminal's master side.
    terminal: Option<OwnedFd>,
}

impl Holders {
    /// Opens what `record` names and takes the terminal from the shim. What is no FIFO needs no holder.
    pub(crate) fn of(record: &ProcessRecord, shim: Option<i32>) -> Self {
        let open = |path: &str, access| fifo::open(Path::new(path), access).ok();
        let stdin = Mutex::new(open(&record.stdin, OFlags::RDWR));
        if record.terminal() {
            // For writing too: the shim alone writes there, and its client must not read end of file.
            let _outputs = open(&record.stdout, OFlags::RDWR).into_iter().collect();
            return Self { stdin, _outputs, terminal: shim.and_then(terminal_of) };
        }
        let outputs = [&record.stdout, &record.stderr];
        let _outputs = outputs.iter().filter_map(|path| open(path, OFlags::RDONLY)).collect();
        Self { stdin, _outputs, terminal: None }
    }

    fn stdin(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        // It only ever becomes `None`.
        self.stdin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of standard input, as its client asked.
    pub(crate) fn close_stdin(&self) {
        self.stdin().take();
    }

    /// Whether standard input is still to be kept open.
    pub(crate) fn has_stdin(&self) -> bool {
        self.stdin().is_some()
    }

    /// Another descriptor of the terminal's master side.
    pub(crate) fn terminal(&self) -> Option<OwnedFd> {
        self.terminal.as_ref()?.try_clone().ok()
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

//! What the shim tells the daemon: that it is ready, how the process ended, what went wrong.

use crate::error::{Error, Result};
use crate::stdio::reopen;
use gantry_record::layout::{FILE_MODE, name};
use gantry_record::log::LogEntry;
use gantry_record::ready::Times;
use gantry_record::{ExitStatus, fifo, ready};
use rustix::fs::{self, Mode, OFlags};
use std::os::fd::OwnedFd;

// === Readiness ===

/// The daemon's pipe on standard output ([`gantry_record::ready`]). A daemon that has died meanwhile is no
/// reason to stop: all write errors are ignored.
pub(crate) struct Readiness {
    began: u64,
}

impl Readiness {
    /// Says hello.
    pub(crate) fn hello() -> Self {
        let began = ready::now();
        let _ = rustix::io::write(rustix::stdio::stdout(), ready::HELLO.as_bytes());
        Self { began }
    }

    /// Says that the process exists, and lets go of the pipe. `runtime` is when its command began and ended, for a
    /// daemon that wants to know.
    pub(crate) fn ready(self, runtime: Option<[u64; 2]>) {
        if let Some([runtime_began, runtime_ended]) = runtime {
            let times = Times { began: self.began, runtime_began, runtime_ended, ready: ready::now() };
            let _ = rustix::io::write(rustix::stdio::stdout(), times.line().as_bytes());
        }
        let _ = rustix::io::write(rustix::stdio::stdout(), ready::READY.as_bytes());
        if let Ok(null) = fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
            let _ = rustix::stdio::dup2_stdout(null);
        }
    }
}

// === ExitPipe ===

/// The write end of the `exit` FIFO. Its closing is the report that the process and all that belongs to it
/// have ended.
pub(crate) struct ExitPipe(OwnedFd);

impl ExitPipe {
    /// Opens it, with or without a daemon at the other end.
    pub(crate) fn open() -> Result<Self> {
        let path = std::path::Path::new(name::EXIT);
        // With a reader of our own the writer cannot block or fail. It goes away again at once: O_RDWR would keep
        // the daemon's own end from ever seeing the hang-up.
        let _reader = fifo::open(path, OFlags::RDONLY)?;
        Ok(Self(fifo::open(path, OFlags::WRONLY)?))
    }

    /// The second path of the status, for when `exitStatus` could not be written: decimal text in the FIFO itself.
    /// Returned is a read end of it: while that is open, the text waits for a daemon that is away now.
    pub(crate) fn send(&self, status: ExitStatus) -> Option<OwnedFd> {
        // By the descriptor: the folder may be gone.
        let keep = reopen(&self.0, OFlags::RDONLY).ok();
        // Without a reader of any kind it fails, and there is nothing that could be done about it.
        let _ = rustix::io::write(&self.0, format!("{status}\n").as_bytes());
        keep
    }
}

// === ShimLog ===

/// `shim-log.json`, held open so that it can be written to whatever happens to the folder.
pub(crate) struct ShimLog(OwnedFd);

impl ShimLog {
    /// Opens or makes it.
    pub(crate) fn open() -> Result<Self> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let flags = flags | OFlags::NONBLOCK;
        Ok(Self(fs::open(name::SHIM_LOG, flags, FILE_MODE).map_err(Error::open(name::SHIM_LOG))?))
    }

    /// Notes what made the shim give up.
    pub(crate) fn error(&self, message: impl Into<String>) {
        self.append(&LogEntry::error(message));
    }

    /// Notes something that it lives with.
    pub(crate) fn warn(&self, message: impl Into<String>) {
        self.append(&LogEntry { level: "warn".to_owned(), msg: message.into() });
    }

    fn append(&self, entry: &LogEntry) {
        // A full disk must not stop the shim, and there is no other place to complain to.
        let _ = rustix::io::write(&self.0, &entry.to_line());
    }
}

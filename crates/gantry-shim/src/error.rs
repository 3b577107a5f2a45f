//! What can fail in the shim: one variant for each step. The texts reach users as `shim error: <text>`.

use gantry_record::error::errno_text;
use rustix::io::Errno;
use std::io;
use std::path::PathBuf;

/// A failed step of the shim, with its object and cause.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file, FIFO or device could not be opened. The words are those of 0.2, which its users know.
    #[error("containerd-shim: opening {} failed: {}", path.display(), reason(*source))]
    Open {
        /// What was to be opened.
        path: PathBuf,
        /// The kernel's reason.
        source: Errno,
    },
    /// A path for output begins as a log target but is none.
    #[error("containerd-shim: {0}")]
    LogTarget(#[from] gantry_record::container_log::InvalidTarget),
    /// Both outputs have the same log, with different limits.
    #[error("containerd-shim: standard output and error have different limits for the log {}", path.display())]
    TwoLimits {
        /// The log.
        path: PathBuf,
    },
    /// Another shim appends to the log.
    #[error("containerd-shim: the log {} is in use by another process", path.display())]
    LogInUse {
        /// The log.
        path: PathBuf,
    },
    /// A system call failed that has no file as its object.
    #[error("containerd-shim: {step} failed: {}", reason(*source))]
    Setup {
        /// What was to be done.
        step: &'static str,
        /// The kernel's reason.
        source: Errno,
    },
    /// A record in the process's folder could not be read or written.
    #[error("containerd-shim: {0}")]
    Record(#[from] gantry_record::Error),
    /// The checkpoint's own description is not what it should be.
    #[error("containerd-shim: damaged checkpoint {}: {source}", path.display())]
    Checkpoint {
        /// The description.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The runtime is missing or cannot be executed.
    #[error(transparent)]
    Runtime(#[from] gantry_oci::RuntimeError),
    /// Waiting for a command of the runtime failed.
    #[error("containerd-shim: waiting for the runtime failed: {}", errno_text(.0))]
    Wait(#[source] io::Error),
    /// The runtime ended without success, and its own log says why.
    #[error("the runtime refused; its log has the reason")]
    RuntimeRefused,
    /// The runtime ended without success and logged no error.
    #[error("{program} {operation}: {status}, and it logged no error{printed}")]
    RuntimeSilent {
        /// The runtime's name or path.
        program: String,
        /// Its subcommand.
        operation: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it had printed, if that could be caught, with words in front.
        printed: String,
    },
    /// The runtime said that all is well, but wrote no pid.
    #[error("containerd-shim: {program} {operation} succeeded without writing its pid file")]
    NoPid {
        /// The runtime's name or path.
        program: String,
        /// Its subcommand.
        operation: &'static str,
    },
    /// There is nothing to take over.
    #[error("containerd-shim: there is no pid file, so there is no process to adopt")]
    NothingToAdopt,
    /// Nobody noted when the process started, so it can't be told from a later one with its number.
    #[error("containerd-shim: the start time of process {pid} is not known, so it cannot be adopted")]
    NoStartTime {
        /// The pid as written.
        pid: i32,
    },
    /// The pid is not below this shim, so its end could never be learnt.
    #[error("containerd-shim: the runtime wrote pid {pid}, which is no child of this shim and is left alone: {}", reason(*source))]
    NotOurs {
        /// The pid as written.
        pid: i32,
        /// What waitid(2) said.
        source: Errno,
    },
    /// The runtime never sent the terminal.
    #[error("containerd-shim: the runtime succeeded but sent no terminal within {seconds} s")]
    NoTerminal {
        /// How long it was waited for.
        seconds: u64,
    },
    /// What came through the console socket, or from the daemon, is not a terminal's master side.
    #[error("containerd-shim: {whence} a descriptor that is no terminal: {}", reason(*source))]
    NotATerminal {
        /// Who gave it.
        whence: &'static str,
        /// What the descriptor answered.
        source: Errno,
    },
}

/// The result of everything in the shim.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// For `map_err`: names the step of a system call.
    pub(crate) fn setup(step: &'static str) -> impl FnOnce(Errno) -> Self {
        move |source| Self::Setup { step, source }
    }

    /// For `map_err`: names what was to be opened.
    pub(crate) fn open(path: impl Into<PathBuf>) -> impl FnOnce(Errno) -> Self {
        move |source| Self::Open { path: path.into(), source }
    }

    /// Whether the fault is the runtime's: 0.2 ends with status 0 then, since "shim failed" would be wrong.
    pub(crate) fn is_the_runtimes(&self) -> bool {
        matches!(self, Self::RuntimeRefused | Self::RuntimeSilent { .. })
    }
}

fn reason(errno: Errno) -> String {
    errno_text(&errno.into())
}

//! One variant for each way in which an operation on a container can fail.
//!
//! The texts of 0.2 that clients match on are kept to the letter (0.2 specification, section 4).

use gantry_oci::RuntimeError;
use gantry_record::container_log::InvalidTarget;
use gantry_record::error::errno_text;
use gantry_record::{ContainerId, ProcessId};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container has this id.
    #[error("containerd: container not found")]
    ContainerNotFound(String),
    /// The container has no process of this id.
    #[error("containerd: process not found for container")]
    ProcessNotFound {
        /// The container.
        container: ContainerId,
        /// The process's id as given.
        process: String,
    },
    /// The container's init has ended.
    #[error("containerd: container has exited")]
    ContainerExited(ContainerId),
    /// A request that cannot mean anything.
    #[error("{0}")]
    Invalid(String),
    /// A path for output begins as a log target but is none.
    #[error(transparent)]
    LogTarget(#[from] InvalidTarget),
    /// The bundle cannot be used.
    #[error("bundle {}: {reason}", path.display())]
    Bundle {
        /// The bundle's folder.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// A file of the bundle cannot be read.
    #[error("{step} {}: {}", path.display(), errno_text(source))]
    BundleIo {
        /// The failed step.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A record could not be written or read.
    #[error(transparent)]
    Record(#[from] gantry_record::Error),
    /// The shim's program is missing.
    #[error("{0} not installed on system")]
    ShimNotInstalled(String),
    /// The shim could not be executed or watched.
    #[error("cannot run the shim {shim}: {source}")]
    ShimSpawn {
        /// Name or path as configured.
        shim: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The shim gave up and said why.
    #[error("shim error: {0}")]
    Shim(String),
    /// The runtime gave up and said why.
    #[error("oci runtime error: {0}")]
    Runtime(String),
    /// A runtime command of the daemon's own failed.
    #[error(transparent)]
    RuntimeCommand(#[from] RuntimeError),
    /// The runtime did not change the limits; its own words.
    #[error("{0}")]
    Update(String),
    /// The shim ended before the process existed, and nobody said why.
    #[error("containerd: container not started")]
    NotStarted,
    /// The shim died while the process was being started.
    #[error("containerd: shim exited before container process was started")]
    ShimExited,
    /// The start took longer than it may.
    #[error("containerd: container did not start before the specified timeout")]
    StartTimeout(Duration),
    /// Nobody waits for the answer any more.
    #[error("context canceled")]
    Cancelled,
    /// No shim stands in the process's folder.
    #[error("no shim stands beside the process")]
    NoShim,
    /// The shim was asked before, and has not done it yet.
    #[error("its shim was asked to hand over before and has not done so yet")]
    HandoverUnderWay,
    /// The shim stays.
    #[error(
        "its shim did not hand over: it does not know how, or its terminal takes none of what was typed; it stays"
    )]
    HandoverRefused,
    /// The process has ended.
    #[error("no such process")]
    NoSuchProcess,
    /// A signal number that does not exist.
    #[error("invalid argument")]
    InvalidSignal(u32),
    /// Another system call on a process failed.
    #[error("{step} process {process} of container {container}: {}", errno_text(source))]
    Process {
        /// The failed step.
        step: &'static str,
        /// The container.
        container: ContainerId,
        /// The process.
        process: ProcessId,
        /// The kernel's reason.
        source: io::Error,
    },
}

impl Error {
    /// See [`gantry_record::Error::is_of_the_moment`].
    #[must_use]
    pub fn is_of_the_moment(&self) -> bool {
        matches!(self, Self::Record(error) if error.is_of_the_moment())
    }
}

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

//! What can go wrong, one variant for each failed step, with the object and the cause inside.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

use crate::store::Status;

/// The result of a step of the runtime.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// A failed step. Texts that clients match on are runc's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("invalid container id {id:?}: {reason}")]
    InvalidId { id: String, reason: &'static str },
    #[error("unknown signal {0:?}")]
    UnknownSignal(String),
    #[error("invalid user {0:?}: expected UID[:GID] in numbers")]
    InvalidUser(String),
    #[error("{0}")]
    Usage(String),
    #[error("not supported: {0}")]
    Unsupported(String),
    #[error("gantry-runtime must run as root to {0}")]
    NotRoot(&'static str),

    #[error("container {id:?} does not exist")]
    DoesNotExist { id: String },
    #[error("container with id exists: {id}")]
    AlreadyExists { id: String },
    #[error("cannot start container {id}: {reason}")]
    CannotStart { id: String, reason: &'static str },
    #[error("cannot exec in container {id} that is not running: {status}")]
    CannotExec { id: String, status: Status },
    #[error("cannot signal container {id}: container not running")]
    NotRunning { id: String },
    #[error("cannot delete container {id} that is not stopped: {status}")]
    CannotDelete { id: String, status: Status },
    #[error("cannot {action} container {id} that is {status}")]
    WrongStatus { action: &'static str, id: String, status: Status },
    #[error(
        "container {id} is still being created or already being deleted, or that was interrupted; `delete --force` clears it"
    )]
    Incomplete { id: String },

    #[error("failed to {action} {path:?}")]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("failed to parse {path:?}")]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("invalid configuration {path:?}: {reason}")]
    Config { path: PathBuf, reason: String },
    #[error("failed to write the answer to standard output")]
    Output(#[source] io::Error),
    #[error("failed to {step} {path:?}")]
    Mount { step: &'static str, path: PathBuf, source: io::Error },
    #[error("failed to set the option {option:?} of mount {path:?}")]
    MountOption { option: String, path: PathBuf, source: io::Error },
    #[error("{path:?} {reason}")]
    MountPoint { path: PathBuf, reason: &'static str },
    #[error("failed to {step}")]
    System { step: &'static str, source: io::Error },

    #[error("failed to set resource limit {kind} to {soft}:{hard}")]
    Rlimit { kind: String, soft: u64, hard: u64, source: io::Error },
    #[error("failed to connect to console socket {path:?}")]
    ConsoleSocket { path: PathBuf, source: io::Error },
    #[error("no terminal came from the container's process")]
    NoTerminal,

    #[error("failed to {step} cgroup {path:?}")]
    Cgroup { step: &'static str, path: PathBuf, source: io::Error },
    #[error("failed to {step} of cgroup {path:?}")]
    CgroupManager { step: &'static str, path: PathBuf, source: Box<dyn StdError + Send + Sync> },
    #[error("no cgroup hierarchy is mounted below /sys/fs/cgroup")]
    NoCgroups,
    #[error("cgroup {path:?} did not become {wanted} within {seconds} s")]
    Freezer { path: PathBuf, wanted: &'static str, seconds: u64 },

    #[error("failed to {step} for container {id}")]
    Prepare { id: String, step: &'static str, source: Box<dyn StdError + Send + Sync> },
    #[error("unable to start container process in {id}: {reason}")]
    Launch { id: String, reason: String },
    #[error("{hook} hook of container {id} failed")]
    Hook { id: String, hook: &'static str, source: Box<dyn StdError + Send + Sync> },
    #[error("failed to send signal {signal} to process {pid} of container {id}")]
    Kill { id: String, signal: i32, pid: i32, source: io::Error },
    #[error("cannot {step} container {id}: {reason}")]
    Criu { step: &'static str, id: String, reason: String },
    #[error("container {id} is still alive {seconds} s after SIGKILL")]
    StillAlive { id: String, seconds: u64 },
}

impl Error {
    /// The error and every cause below it in one sentence. A cause whose text its parent already carries is left out.
    pub(crate) fn chain(&self) -> String {
        chain(self)
    }
}

/// An error and every cause below it in one sentence.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// Builds the mapping of an I/O error that names what was done to which file.
pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::File { action, path, source }
}

/// Builds the mapping of a kernel error that names the step.
pub(crate) fn system<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error::System { step, source: source.into() }
}

/// Builds the mapping of a kernel error that names the step of a mount and its path inside the container.
pub(crate) fn mount<E: Into<io::Error>>(
    step: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(E) -> Error {
    let path = path.into();
    move |source| Error::Mount { step, path, source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_one_sentence_without_repetition() {
        let error = file("open", "/x")(io::Error::other("no luck"));
        assert_eq!(error.chain(), "failed to open \"/x\": no luck");
        let prepare = Error::Prepare { id: "c".into(), step: "read", source: Box::new(error) };
        assert_eq!(prepare.chain(), "failed to read for container c: failed to open \"/x\": no luck");
    }

    #[test]
    fn texts_that_clients_match_are_kept() {
        assert_eq!(Error::DoesNotExist { id: "a".into() }.to_string(), "container \"a\" does not exist");
        let running = Error::CannotDelete { id: "a".into(), status: Status::Running };
        assert_eq!(running.to_string(), "cannot delete container a that is not stopped: running");
        assert!(Error::NotRunning { id: "a".into() }.to_string().ends_with("container not running"));
    }
}

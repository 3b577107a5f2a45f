//! What can go wrong in ctr, in the words and with the exit statuses of 0.2.

use std::io;
use std::path::PathBuf;

use tonic::Status;

use super::flags::FlagError;
use super::go::{self, BadValue};
use crate::error::system_text;

/// Everything that fails ends with this.
const FAILURE: u8 = 1;
/// The library's status for a command that does not exist.
const NO_SUCH_COMMAND: u8 = 3;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Flag(#[from] FlagError),
    #[error("{0}")]
    Value(#[from] BadValue),
    /// A number that Go would have cut to 32 bits without a word.
    #[error("invalid value {} for flag -{flag}: value out of range", go::quote(&.value.to_string()))]
    Range { flag: &'static str, value: i64 },
    #[error("{0} cannot be empty")]
    Missing(&'static str),
    #[error("No help topic for '{0}'")]
    NoSuchCommand(String),
    #[error("bad bind address format {0}, expected proto://address")]
    BadAddress(String),
    /// Nobody listens.
    #[error("rpc error: code = 14 desc = grpc: the connection is unavailable")]
    Unavailable,
    #[error("{}", rpc_text(.0))]
    Rpc(Box<Status>),
    /// The daemon ended the stream of events.
    #[error("EOF")]
    EndOfEvents,
    #[error("{step} {}: {}", path.display(), system_text(.source))]
    File { step: &'static str, path: PathBuf, source: io::Error },
    #[error("{}: {problem}", path.display())]
    BadConfig { path: PathBuf, problem: serde_json::Error },
    /// A container with a terminal wants one here.
    #[error("inappropriate ioctl for device")]
    NoTerminal,
    #[error("{} is not UTF-8, and the protocol carries nothing else", .0.display())]
    NotUtf8(PathBuf),
    #[error("write standard output: {}", system_text(.0))]
    Output(io::Error),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// From what this has in common with the modern client.
    #[error("{0}")]
    Client(#[from] crate::error::Error),
}

// === impl Error ===

impl Error {
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::NoSuchCommand(_) => NO_SUCH_COMMAND,
            _ => FAILURE,
        }
    }

    /// What stands on standard error.
    pub(crate) fn line(&self) -> String {
        match self {
            // The library's, not ctr's.
            Self::NoSuchCommand(_) => self.to_string(),
            _ => format!("[ctr] {self}"),
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Rpc(Box::new(status))
    }
}

/// Whether a call failed because the connection did: what the daemon sends has no source on our side.
pub(crate) fn is_connection_closed(status: &Status) -> bool {
    use std::error::Error as _;
    status.source().is_some()
}

fn rpc_text(status: &Status) -> String {
    if is_connection_closed(status) {
        return "rpc error: code = 14 desc = transport is closing".to_owned();
    }
    format!("rpc error: code = {} desc = {}", i32::from(status.code()), status.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_failed_calls() {
        let not_found = Error::from(Status::unknown("containerd: container not found"));
        assert_eq!(not_found.line(), "[ctr] rpc error: code = 2 desc = containerd: container not found");
        let exists = Error::from(Status::already_exists("mkdir /x/web: file exists"));
        assert_eq!(exists.line(), "[ctr] rpc error: code = 6 desc = mkdir /x/web: file exists");
        let busy = Error::from(Status::unavailable("come back later"));
        assert_eq!(busy.line(), "[ctr] rpc error: code = 14 desc = come back later");
        let lost = Error::from(Status::from_error(Box::new(io::Error::other("whatever"))));
        assert_eq!(lost.line(), "[ctr] rpc error: code = 14 desc = transport is closing");
    }

    #[test]
    fn everything_else_ends_with_1() {
        let missing = Error::Missing("bundle path");
        assert_eq!(
            (missing.line().as_str(), missing.exit_status()),
            ("[ctr] bundle path cannot be empty", 1)
        );
        let unknown = Error::NoSuchCommand("x".into());
        assert_eq!((unknown.line().as_str(), unknown.exit_status()), ("No help topic for 'x'", 3));
    }
}

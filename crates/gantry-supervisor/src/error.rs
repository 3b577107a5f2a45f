//! What a request to the supervisor can fail with.

use gantry_record::error::errno_text;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operation on the container failed.
    #[error(transparent)]
    Container(#[from] gantry_container::Error),
    /// The event log could not be opened.
    #[error("cannot open the event log {}: {source}", path.display())]
    EventLog {
        /// Its path.
        path: std::path::PathBuf,
        /// The kernel's reason.
        source: std::io::Error,
    },
    /// The event log cannot be written at present.
    #[error(
        "cannot write the event log {}: {}; nothing is started until it can be written: make room on its file system",
        path.display(), errno_text(source)
    )]
    EventLogWaits {
        /// Its path.
        path: std::path::PathBuf,
        /// The kernel's reason.
        source: std::sync::Arc<std::io::Error>,
    },
    /// A subscription that cannot mean anything.
    #[error("{0}")]
    Subscription(&'static str),
}

impl From<gantry_record::Error> for Error {
    fn from(error: gantry_record::Error) -> Self {
        Self::Container(error.into())
    }
}

impl From<gantry_oci::RuntimeError> for Error {
    fn from(error: gantry_oci::RuntimeError) -> Self {
        Self::Container(error.into())
    }
}

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

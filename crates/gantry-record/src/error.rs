//! One variant for each way in which a record can fail to be written, read or believed.

use std::io;
use std::path::{Path, PathBuf};

/// What went wrong with a record, with the object and the step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call on a file of the state dir failed.
    #[error("{step} {}: {}", path.display(), errno_text(source))]
    Io {
        /// The failed step as 0.2's clients know it: `open`, `mkdir`, `mkfifo`, ...
        step: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A record is there but is not what it should be.
    #[error("damaged record {}: {reason}", path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody else could decide what is in the state dir.
    #[error("cannot use {} as state dir: {reason}", path.display())]
    Untrusted {
        /// The state dir.
        path: PathBuf,
        /// What is wrong, and what to do about it.
        reason: String,
    },
    /// An id that must not become a path or an argument.
    #[error(
        "invalid {what} id {id:?}: {reason}; use 1 to {max} letters, digits or _.-+, not starting with -",
        max = crate::id::MAX_ID_BYTES
    )]
    InvalidId {
        /// `container` or `process`.
        what: &'static str,
        /// The id as given, cut to a printable length.
        id: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
}

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Wraps an I/O error with its step and path.
    pub fn io(step: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self::Io { step, path: path.into(), source: source.into() }
    }

    /// Says that the record at `path` cannot be believed.
    pub fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.into() }
    }

    /// The kernel's error kind where there is one.
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            _ => None,
        }
    }

    /// Whether it says nothing of the record: no descriptor or memory was left, or the disk did not answer. A moment later
    /// the same may succeed.
    #[must_use]
    pub fn is_of_the_moment(&self) -> bool {
        use rustix::io::Errno;
        let Self::Io { source, .. } = self else { return false };
        let momentary =
            [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::IO, Errno::AGAIN, Errno::INTR];
        source.raw_os_error().is_some_and(|raw| momentary.contains(&Errno::from_raw_os_error(raw)))
    }

    /// Whether the object simply is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.io_kind() == Some(io::ErrorKind::NotFound)
    }

    /// Whether the disk, or somebody's share of it, is full: the same may succeed later.
    #[must_use]
    pub fn is_no_room(&self) -> bool {
        matches!(self.io_kind(), Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

/// Whether the system has not enough of something now: room, descriptors, memory, processes.
#[must_use]
pub fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let wanting =
        [Errno::NOSPC, Errno::DQUOT, Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::AGAIN];
    error.raw_os_error().is_some_and(|raw| wanting.contains(&Errno::from_raw_os_error(raw)))
}

/// The kernel's reason as 0.2's clients know and match it: `no such file or directory`, `file exists`.
#[must_use]
pub fn errno_text(error: &io::Error) -> String {
    let mut text = error.to_string();
    if error.raw_os_error().is_some() {
        if let Some(end) = text.find(" (os error ") {
            text.truncate(end);
        }
        if let Some(first) = text.get_mut(0..1) {
            first.make_ascii_lowercase();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_as_clients_expect() {
        let error = Error::io("mkdir", "/s/a", io::Error::from_raw_os_error(17));
        assert_eq!(error.to_string(), "mkdir /s/a: file exists");
        assert_eq!(errno_text(&io::Error::other("Own text")), "Own text");
    }
}

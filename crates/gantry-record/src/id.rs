//! Ids of containers and processes: what may become a folder's name and a runtime's argument.
//!
//! 0.2 joined whatever a client sent into paths. Here an id is validated once, where it enters, and carries
//! that proof in its type.

use crate::{Error, Result};
use std::fmt;

/// The longest id in bytes: one folder name (`NAME_MAX`, limits.h).
pub const MAX_ID_BYTES: usize = 255;

/// The process id of a container's first process.
pub const INIT: &str = "init";

/// What the daemon keeps beside the containers' folders, or may come to: no container can have such a name.
const RESERVED: [&str; 5] = ["events.log", "events.log.new", "ended.log", ".ended.log.new", "gantryd.lock"];

/// Whether a file of the daemon's own has that name.
#[must_use]
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

fn check(what: &'static str, id: &str) -> Result<()> {
    let reason = if id.is_empty() {
        "it is empty"
    } else if id.len() > MAX_ID_BYTES {
        "it is too long"
    } else if id == "." || id == ".." {
        "it names a folder of the file system"
    } else if id.starts_with('-') {
        "it would read as an option of the runtime"
    } else if !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-+".contains(&b)) {
        "it has a character that is not allowed"
    } else if what == "container" && is_reserved(id) {
        "a file of the daemon's own has that name"
    } else {
        return Ok(());
    };
    Err(Error::InvalidId { what, id: id.chars().take(64).collect(), reason })
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Validates `id`.
            ///
            /// # Errors
            /// [`Error::InvalidId`] when it is empty, longer than [`MAX_ID_BYTES`], `.` or `..`, starts with
            /// `-`, or has anything but ASCII letters, digits and `_.-+`.
            pub fn new(id: &str) -> Result<Self> {
                check($what, id)?;
                Ok(Self(id.into()))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

id_type!(
    /// A container's id: unique below one state dir.
    ContainerId,
    "container"
);
id_type!(
    /// A process's id inside its container: [`INIT`] or an exec's.
    ProcessId,
    "process"
);

impl ProcessId {
    /// The id of the first process.
    #[must_use]
    pub fn init() -> Self {
        Self(INIT.into())
    }

    /// Whether this is the first process.
    #[must_use]
    pub fn is_init(&self) -> bool {
        &*self.0 == INIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_clients_use() {
        for id in ["a", "init", "redis.1+x_y-z", &"f".repeat(255), "..."] {
            assert_eq!(ContainerId::new(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn rejects_the_names_of_the_daemons_own_files() {
        for id in RESERVED {
            assert!(ContainerId::new(id).is_err(), "{id}");
            assert!(ProcessId::new(id).is_ok(), "{id}: a process is in its container's folder");
        }
    }

    #[test]
    fn rejects_what_could_escape() {
        for id in ["", ".", "..", "a/b", "../x", "a\0b", "a\nb", "-f", "é", "a b", &"f".repeat(256)] {
            let error = ContainerId::new(id).unwrap_err().to_string();
            assert!(error.starts_with("invalid container id"), "{error}");
        }
    }
}

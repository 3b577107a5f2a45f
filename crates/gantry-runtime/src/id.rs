//! The name of a container, validated: it becomes a directory name and a cgroup name.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// The longest id there may be: what a file name can hold.
const MAX_BYTES: usize = 255;

/// A container's id that is safe as one path component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ContainerId(String);

impl ContainerId {
    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerId {
    type Err = Error;

    fn from_str(id: &str) -> Result<Self, Error> {
        let reason = if id.is_empty() {
            "it is empty"
        } else if id.len() > MAX_BYTES {
            "it is longer than 255 bytes"
        } else if id == "." || id == ".." {
            "it names a directory"
        } else if !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-+".contains(&b)) {
            "only letters, digits, '_', '.', '-' and '+' are allowed"
        } else {
            return Ok(Self(id.to_owned()));
        };
        Err(Error::InvalidId { id: id.to_owned(), reason })
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_clients_use() {
        for id in ["a", "web_1", "k8s.io-x+y", "0123abcd", &"x".repeat(255)] {
            assert_eq!(id.parse::<ContainerId>().unwrap().as_str(), id);
        }
    }

    #[test]
    fn refuses_what_could_escape() {
        for id in ["", ".", "..", "a/b", "../x", "a b", "a\0", "ü", "a\n", &"x".repeat(256)] {
            assert!(id.parse::<ContainerId>().is_err(), "{id:?}");
        }
    }
}

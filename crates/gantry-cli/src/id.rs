//! Ids of containers and processes, as users type them and as we make them up.
//!
//! The daemon validates ids itself; the client does it too, because an id becomes a directory's name here as well.

use std::fmt;
use std::str::FromStr;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::error::Error;

/// The process id of a container's first process.
pub(crate) const INIT: &str = "init";

/// The longest id in bytes: one directory name.
const MAX_BYTES: usize = 255;

/// A container's or a process's id: safe as a directory's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(String);

/// What is wrong with an id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadId {
    #[error("an id cannot be empty")]
    Empty,
    #[error("an id has at most {MAX_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    #[error("`{0}` is no id but a directory")]
    Directory(String),
    #[error("an id does not start with a dash")]
    LeadingDash,
    #[error("{0:?} is not allowed in an id: use letters, digits, and any of _.-+")]
    Character(char),
}

// === impl Id ===

impl Id {
    /// Twelve hexadecimal digits from the kernel's random numbers.
    pub(crate) fn random() -> Result<Self, Error> {
        let mut bytes = [0_u8; 6];
        // Six bytes are never given out in part: getrandom(2) promises that up to 256.
        getrandom(&mut bytes, GetRandomFlags::empty())
            .map_err(|errno| Error::system("make up an id", errno.into()))?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Id {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(BadId::Empty);
        }
        if text.len() > MAX_BYTES {
            return Err(BadId::TooLong(text.len()));
        }
        if text == "." || text == ".." {
            return Err(BadId::Directory(text.to_owned()));
        }
        if text.starts_with('-') {
            return Err(BadId::LeadingDash);
        }
        match text.chars().find(|c| !c.is_ascii_alphanumeric() && !"_.-+".contains(*c)) {
            Some(character) => Err(BadId::Character(character)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ids() {
        for text in ["a", "web-1", "A_b.c+d", "...", &"x".repeat(255)] {
            assert_eq!(text.parse::<Id>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn bad_ids() {
        let cases = [
            ("", BadId::Empty),
            ("..", BadId::Directory("..".into())),
            ("-x", BadId::LeadingDash),
            ("a/b", BadId::Character('/')),
            ("a b", BadId::Character(' ')),
            ("a\n", BadId::Character('\n')),
            ("\u{e9}t\u{e9}", BadId::Character('\u{e9}')),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Id>(), Err(error), "{text:?}");
        }
        assert_eq!("x".repeat(256).parse::<Id>(), Err(BadId::TooLong(256)));
    }

    #[test]
    fn random_ids_are_valid_and_differ() {
        let (one, two) = (Id::random().unwrap(), Id::random().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.as_str().len(), 12);
        assert!(one.as_str().parse::<Id>().is_ok());
    }
}

//! The user of `exec --user`, by number: `UID[:GID]`.

use std::str::FromStr;

use crate::error::Error;

/// Whom a process runs as. Names are the client's to resolve, as with runc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserSpec {
    /// The user id.
    pub(crate) uid: u32,
    /// The group id, where one was given.
    pub(crate) gid: Option<u32>,
}

impl FromStr for UserSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (uid, gid) = match text.split_once(':') {
            Some((uid, gid)) => (uid, Some(gid)),
            None => (text, None),
        };
        let number = |part: &str| part.parse::<u32>().map_err(|_| Error::InvalidUser(text.to_owned()));
        Ok(Self { uid: number(uid)?, gid: gid.map(number).transpose()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_with_and_without_group() {
        assert_eq!("0".parse::<UserSpec>().unwrap(), UserSpec { uid: 0, gid: None });
        assert_eq!("1000:100".parse::<UserSpec>().unwrap(), UserSpec { uid: 1000, gid: Some(100) });
    }

    #[test]
    fn names_and_fragments_are_refused() {
        for text in ["", "root", "1:", ":1", "1:2:3", "-1", "4294967296"] {
            assert!(text.parse::<UserSpec>().is_err(), "{text}");
        }
    }
}

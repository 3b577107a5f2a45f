//! `gantry.json`: what this client knows about a container that it started.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::create_private;
use crate::error::Error;

const FILE: &str = "gantry.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta {
    pub(crate) id: String,
    /// RFC 3339.
    pub(crate) created: String,
    pub(crate) command: Vec<String>,
    /// The bundle as the daemon was told.
    pub(crate) bundle: PathBuf,
    /// Where the root filesystem came from: a path, `demo`, or nothing with a bundle of the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rootfs: Option<String>,
    pub(crate) detached: bool,
    pub(crate) terminal: bool,
    /// Where the output of a detached run is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) logs: Option<Logs>,
    /// How it ended, written by an attached run, because the daemon keeps only the newest events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) exit: Option<Exit>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Logs {
    /// One file of records, and older ones beside it.
    Records { path: PathBuf },
    /// Two files with the bytes as they came, from a shim that knows no records.
    Plain { stdout: PathBuf, stderr: PathBuf },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    pub(crate) status: u32,
    /// RFC 3339.
    pub(crate) at: String,
}

// === impl Meta ===

impl Meta {
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    pub(crate) fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(Self::path(dir)).ok()?).ok()
    }

    /// Written beside and renamed, so that a reader sees all of it or the old one.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), Error> {
        let path = Self::path(dir);
        let beside = dir.join(".gantry.json");
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::file("write", &path, std::io::Error::other(error)))?;
        // Left by a client that was killed.
        let _ = fs::remove_file(&beside);
        create_private(&beside, &text)?;
        fs::rename(&beside, &path).map_err(|error| Error::file("write", &path, error))
    }

    #[cfg(test)]
    pub(crate) fn sample(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            created: "2024-05-01T12:00:00Z".to_owned(),
            command: vec!["sh".to_owned()],
            bundle: PathBuf::from("/b"),
            rootfs: Some("demo".to_owned()),
            detached: true,
            terminal: false,
            logs: Some(Logs::Records { path: PathBuf::from("/b/output.log") }),
            exit: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let temp = tempfile::tempdir().unwrap();
        let mut meta = Meta::sample("web");
        for logs in
            [Some(Logs::Plain { stdout: "/b/out".into(), stderr: "/b/err".into() }), None, meta.logs.clone()]
        {
            meta.logs = logs;
            meta.write(temp.path()).unwrap();
            assert_eq!(Meta::read(temp.path()).as_ref(), Some(&meta));
        }
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_file_is_no_meta() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(Meta::path(temp.path()), "{\"id\":").unwrap();
        assert_eq!(Meta::read(temp.path()), None);
    }
}

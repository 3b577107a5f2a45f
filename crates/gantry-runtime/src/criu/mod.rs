//! Checkpoints by CRIU, which is run as `criu swrk` and spoken to by its RPC (`rust-criu`).
//!
//! CRIU saves and rebuilds processes, namespaces and mounts by itself. What comes from outside of the container it must be
//! told of, at both ends by the same key: bind mounts, the null device over masked files, hierarchies of cgroup version
//! 1, and network and pid namespaces that were joined by path. Beside its images stand
//!
//! | file | content |
//! | --- | --- |
//! | `descriptors.json` | what the standard streams were, for those that are pipes; as with runc |
//! | `gantry.json` | [`Saved`] |

mod external;
mod session;

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, file};

pub(crate) use external::External;
pub(crate) use session::{Session, directory};

const DESCRIPTORS: &str = "descriptors.json";
const SAVED: &str = "gantry.json";

/// What a restore must find as it was.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Saved {
    /// The cgroup's path below the mount points. CRIU puts processes back to where they were.
    pub(crate) cgroup: String,
}

impl Saved {
    /// Writes it beside the images.
    pub(crate) fn write(&self, images: &Path) -> Result<()> {
        write(&images.join(SAVED), self)
    }

    /// Reads it; none for images that another runtime wrote.
    pub(crate) fn read(images: &Path) -> Result<Option<Self>> {
        read(&images.join(SAVED))
    }
}

/// Writes what the standard streams of a process are.
pub(crate) fn save_streams(images: &Path, pid: i32) -> Result<()> {
    let stream = |number: u8| {
        let link = format!("/proc/{pid}/fd/{number}");
        fs::read_link(link).map_or_else(|_| "/dev/null".to_owned(), |to| to.to_string_lossy().into_owned())
    };
    write(&images.join(DESCRIPTORS), &[0, 1, 2].map(stream))
}

/// What the standard streams were, in CRIU's words for those that are pipes (`pipe:[123]`): the new ones take their place.
pub(crate) fn saved_streams(images: &Path) -> Result<Vec<(i32, String)>> {
    let saved: Vec<String> = read(&images.join(DESCRIPTORS))?.unwrap_or_default();
    Ok((0..).zip(saved).filter(|(_, stream)| stream.starts_with("pipe:")).collect())
}

fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_vec(value).map_err(|source| Error::Parse { path: path.to_owned(), source })?;
    fs::write(path, json).map_err(file("write", path))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(json) => {
            let parsed = serde_json::from_slice(&json);
            parsed.map(Some).map_err(|source| Error::Parse { path: path.to_owned(), source })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_the_images_is_read_back() {
        let images = tempfile::tempdir().unwrap();
        assert_eq!(Saved::read(images.path()).unwrap(), None);
        let saved = Saved { cgroup: "a/b".to_owned() };
        saved.write(images.path()).unwrap();
        assert_eq!(Saved::read(images.path()).unwrap(), Some(saved));

        assert_eq!(saved_streams(images.path()).unwrap(), []);
        write(&images.path().join(DESCRIPTORS), &["/dev/null", "pipe:[7]", "/x/fifo"]).unwrap();
        assert_eq!(saved_streams(images.path()).unwrap(), [(1, "pipe:[7]".to_owned())]);
    }
}

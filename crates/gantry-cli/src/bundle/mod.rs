//! What the client keeps on disk about a container that it started: one directory per container, named by its id.
//!
//! ```text
//! <bundles>/<id>/
//!   gantry.json                 what was started, see `meta`
//!   config.json  rootfs/        the bundle, unless the user brought one
//!   init-stdin  init-stdout …   FIFOs of an attached run
//!   output.log  output.log.1 …  output of a detached run, `stdout.log` and `stderr.log` with containerd
//! ```
//!
//! The daemon needs none of it after the container has ended; `gantry rm` removes the directory.

pub(crate) mod demo;
pub(crate) mod given;
pub(crate) mod meta;
pub(crate) mod spec;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::id::Id;
use meta::Meta;

/// For root alone: a root filesystem may have set-user-ID programs that are not for the users of the host, and
/// environments have secrets.
const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The directory of one container.
#[derive(Debug, Clone)]
pub(crate) struct ContainerDir {
    path: PathBuf,
}

// === impl ContainerDir ===

impl ContainerDir {
    /// Makes the directory; an id that is in use is an error.
    pub(crate) fn create(bundles: &Path, id: &Id) -> Result<Self, Error> {
        DirBuilder::new()
            .recursive(true)
            .mode(DIR_MODE)
            .create(bundles)
            .map_err(|error| Error::file("make", bundles, error))?;
        let path = bundles.join(id.as_str());
        match DirBuilder::new().mode(DIR_MODE).create(&path) {
            Ok(()) => Ok(Self { path }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Error::impossible(
                format!("cannot run {id}: the name is in use"),
                format!("choose another --name, or remove the old container with `gantry rm {id}`"),
            )),
            Err(error) => Err(Error::file("make", &path, error)),
        }
    }

    /// The directory, if this client made one for the container.
    pub(crate) fn open(bundles: &Path, id: &str) -> Option<Self> {
        // Ids come from the user and from the daemon: only what is a valid one is joined to a path.
        let id: Id = id.parse().ok()?;
        let path = bundles.join(id.as_str());
        path.is_dir().then_some(Self { path })
    }

    /// All containers that this client started and that were not removed, by id.
    pub(crate) fn list(bundles: &Path) -> Result<Vec<(Id, Self)>, Error> {
        let failed = |error| Error::file("list", bundles, error);
        let entries = match fs::read_dir(bundles) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut dirs = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let id = entry.file_name().to_str().and_then(|name| name.parse::<Id>().ok());
            let path = entry.path();
            if let Some(id) = id
                && Meta::path(&path).is_file()
            {
                dirs.push((id, Self { path }));
            }
        }
        dirs.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(dirs)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What was written about the container; none if that cannot be read.
    pub(crate) fn meta(&self) -> Option<Meta> {
        Meta::read(&self.path)
    }

    pub(crate) fn write_meta(&self, meta: &Meta) -> Result<(), Error> {
        meta.write(&self.path)
    }

    /// Removes the directory with everything in it.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::file("remove", &self.path, error))
            }
            _ => Ok(()),
        }
    }
}

/// Makes a new file that only its owner can read.
pub(crate) fn create_private(path: &Path, content: &[u8]) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path);
    file.and_then(|mut file| file.write_all(content)).map_err(|error| Error::file("write", path, error))
}

/// A path as the protocol carries it.
pub(crate) fn text(path: &Path) -> Result<String, Error> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Error::impossible(
            format!("cannot use {}: the path is not UTF-8", path.display()),
            "the protocol carries UTF-8 only: rename it, or link to it from elsewhere",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_used_once() {
        let temp = tempfile::tempdir().unwrap();
        let bundles = temp.path().join("deep/bundles");
        let id: Id = "web".parse().unwrap();
        let dir = ContainerDir::create(&bundles, &id).unwrap();
        let error = ContainerDir::create(&bundles, &id).unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
        assert!(ContainerDir::open(&bundles, "web").is_some());
        dir.remove().unwrap();
        dir.remove().unwrap();
        assert!(ContainerDir::open(&bundles, "web").is_none());
    }

    #[test]
    fn ids_from_outside_do_not_leave_the_folder() {
        let temp = tempfile::tempdir().unwrap();
        for id in ["..", ".", "", "a/..", "/etc"] {
            assert!(ContainerDir::open(temp.path(), id).is_none(), "{id}");
        }
    }

    #[test]
    fn only_containers_are_listed() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("stray")).unwrap();
        let id: Id = "web".parse().unwrap();
        let dir = ContainerDir::create(temp.path(), &id).unwrap();
        assert!(ContainerDir::list(temp.path()).unwrap().is_empty());
        dir.write_meta(&Meta::sample("web")).unwrap();
        let listed: Vec<Id> =
            ContainerDir::list(temp.path()).unwrap().into_iter().map(|(id, _)| id).collect();
        assert_eq!(listed, [id]);
        assert!(ContainerDir::list(&temp.path().join("missing")).unwrap().is_empty());
    }
}

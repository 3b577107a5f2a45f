//! The cgroup of a container: the same path in every hierarchy of version 1, or one directory of version 2.
//!
//! On a hybrid system (version 1 with controllers, a version 2 hierarchy without any beside it) version 1 is used. A
//! process joins by writing `0` for itself to each hierarchy's `tasks` file: other than writing another process's pid
//! to `cgroup.procs`, this takes no global lock and so waits for no grace period (Linux 5.5). On version 2 it is born
//! inside, by `CLONE_INTO_CGROUP` (Linux 5.7).
//!
//! Which limits there are and how they are written is `libcgroups`' knowledge ([`limits`]); device rules, freezing,
//! listing and removing are here.

mod devices;
mod freezer;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod hierarchy;
mod limits;
mod processes;
pub(crate) mod stats;

use gantry_record::failpoint;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::Duration;

use oci_spec::runtime::Spec;
use rustix::process::Pid;

use crate::error::{Error, Result};
use crate::id::ContainerId;
use hierarchy::{Hierarchy, Layout};

/// How long a directory may stay busy after its last process was killed.
const REMOVE_ATTEMPTS: u32 = 200;
const REMOVE_PAUSE: Duration = Duration::from_millis(10);

/// A container's place in the cgroup file systems. Nothing need exist yet.
pub(crate) struct Cgroup {
    layout: Layout,
    /// Relative to the mount point, never empty, without `..`.
    path: PathBuf,
}

/// A cgroup in one hierarchy.
pub(crate) struct View<'a> {
    /// Where the hierarchy is mounted on the host.
    pub(crate) mount_point: &'a Path,
    /// As [`Hierarchy`] has them.
    pub(crate) controllers: &'a [String],
    /// The cgroup's directory on the host.
    pub(crate) directory: PathBuf,
}

impl Cgroup {
    /// The cgroup that a configuration asks for; without a `cgroupsPath` it is `/ID`, as with runc.
    pub(crate) fn of_spec(spec: &Spec, id: &ContainerId) -> Result<Self> {
        let path = path_of(spec, id)?;
        Ok(Self { layout: Layout::detect()?, path })
    }

    /// Its path below the mount points.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the directories. What is there already is taken over.
    pub(crate) fn create(&self) -> Result<()> {
        for hierarchy in self.layout.hierarchies() {
            hierarchy.create(&self.path)?;
        }
        Ok(())
    }

    /// Whether processes are born in the cgroup ([`Self::open_v2`]) instead of joining it.
    pub(crate) fn is_v2(&self) -> bool {
        matches!(self.layout, Layout::V2(_))
    }

    /// On version 2, the directory for `CLONE_INTO_CGROUP`.
    pub(crate) fn open_v2(&self) -> Result<Option<OwnedFd>> {
        let Layout::V2(hierarchy) = &self.layout else { return Ok(None) };
        let dir = hierarchy.dir(&self.path);
        fs::File::open(&dir).map(|file| Some(file.into())).map_err(step("open", &dir))
    }

    /// Moves the calling process, which must have one thread only, into the cgroup.
    pub(crate) fn join(&self) -> Result<()> {
        for hierarchy in self.layout.hierarchies() {
            let file = hierarchy.dir(&self.path).join(if self.is_v2() { "cgroup.procs" } else { "tasks" });
            failpoint::io("runtime::cgroup::join").map_err(|e| step("join", &file)(e.into()))?;
            write(&file, "0").map_err(step("join", file))?;
        }
        Ok(())
    }

    /// Moves another process into the cgroup.
    pub(crate) fn add(&self, pid: Pid) -> Result<()> {
        for hierarchy in self.layout.hierarchies() {
            let file = hierarchy.dir(&self.path).join("cgroup.procs");
            write(&file, &pid.as_raw_nonzero().to_string()).map_err(step("add a process to", file))?;
        }
        Ok(())
    }

    /// The cgroup in each hierarchy, as a mount inside the container shows it.
    pub(crate) fn views(&self) -> impl Iterator<Item = View<'_>> {
        self.layout.hierarchies().iter().map(|hierarchy| View {
            mount_point: hierarchy.mount_point(),
            controllers: hierarchy.controllers(),
            directory: hierarchy.dir(&self.path),
        })
    }

    /// Removes the directories and those that the container made below them. Waits a while for processes that were
    /// killed to be gone.
    pub(crate) fn remove(&self) -> Result<()> {
        for hierarchy in self.layout.hierarchies() {
            let dir = hierarchy.dir(&self.path);
            failpoint::io("runtime::cgroup::remove").map_err(|e| step("remove", &dir)(e.into()))?;
            let mut attempt = 0;
            while let Err(source) = remove_tree(&dir) {
                attempt += 1;
                if source.kind() != io::ErrorKind::ResourceBusy || attempt == REMOVE_ATTEMPTS {
                    return Err(step("remove", &dir)(source));
                }
                thread::sleep(REMOVE_PAUSE);
            }
        }
        Ok(())
    }

    /// The directory in the hierarchy of a controller of version 1, or the one of version 2.
    fn controller(&self, name: &str) -> Option<PathBuf> {
        match &self.layout {
            Layout::V2(hierarchy) => Some(hierarchy.dir(&self.path)),
            Layout::V1(hierarchies) => hierarchies.iter().find(|h| h.has(name)).map(|h| h.dir(&self.path)),
        }
    }

    /// The directory by which all processes are frozen, if there is one.
    pub(crate) fn freezer(&self) -> Option<PathBuf> {
        self.controller("freezer")
    }

    /// A directory that holds all processes of the container.
    fn any_dir(&self) -> Option<PathBuf> {
        self.controller("freezer").or_else(|| {
            self.layout.hierarchies().first().map(|hierarchy: &Hierarchy| hierarchy.dir(&self.path))
        })
    }
}

/// Where below the mount points a configuration wants its cgroup.
pub(crate) fn path_of(spec: &Spec, id: &ContainerId) -> Result<PathBuf> {
    match spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_deref()) {
        Some(path) if !path.as_os_str().is_empty() => relative(path),
        _ => Ok(PathBuf::from(id.as_str())),
    }
}

/// Takes a `cgroupsPath` as relative to the mount point and refuses what would leave it or be all of it.
fn relative(path: &Path) -> Result<PathBuf> {
    let refuse =
        |reason: &str| Error::Config { path: path.to_owned(), reason: format!("linux.cgroupsPath {reason}") };
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(refuse("must not contain `..`")),
        }
    }
    if clean.as_os_str().is_empty() { Err(refuse("must not be the root")) } else { Ok(clean) }
}

/// Removes a cgroup and those below it. That it is gone already is no error.
fn remove_tree(dir: &Path) -> io::Result<()> {
    match fs::remove_dir(dir) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
        Err(error) => return Err(error),
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(dir)
}

/// Writes a value to a file that exists, with one write as cgroup files want it.
fn write(path: &Path, value: &str) -> io::Result<()> {
    use std::io::Write;
    fs::OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

fn step(step: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::Cgroup { step, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_mount_point() {
        assert_eq!(relative(Path::new("/a/b")).unwrap(), Path::new("a/b"));
        assert_eq!(relative(Path::new("./a//b/")).unwrap(), Path::new("a/b"));
        assert_eq!(relative(Path::new("system.slice:x:y")).unwrap(), Path::new("system.slice:x:y"));
        for path in ["/", ".", "/..", "a/../b"] {
            assert!(relative(Path::new(path)).is_err(), "{path}");
        }
    }
}

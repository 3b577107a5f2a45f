//! The root filesystem, and paths inside it.
//!
//! Every path of a configuration that lies inside the container is resolved by the kernel with the root filesystem as
//! the root (openat2(2), `RESOLVE_IN_ROOT`, Linux 5.6): links in an image lead to what they lead to inside, never out.
//! What comes back is a descriptor, and that is used from then on, so that nobody can swap the path afterwards.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::Linux;
use rustix::fs::{FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use crate::error::{Result, file};
use crate::ids;

/// How often a resolution is tried while somebody else renames things in it (`EAGAIN` of openat2(2)).
const ATTEMPTS: u32 = 64;

/// A root filesystem that is open.
pub(crate) struct Root {
    fd: OwnedFd,
}

/// The user and group on the host that get what is created.
type Owner = (Option<Uid>, Option<Gid>);

impl Root {
    /// Opens a root filesystem.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| file("open", path)(e.into()))?;
        Ok(Self { fd })
    }

    /// Opens what a path inside leads to, as a mere reference.
    pub(crate) fn find(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut attempt = 0;
        loop {
            match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) if attempt < ATTEMPTS => attempt += 1,
                other => return other,
            }
        }
    }

    /// Opens a directory inside, which is created with its parents if it is missing.
    pub(crate) fn directory(&self, path: &Path) -> Result<OwnedFd> {
        self.directory_of(path, (None, None))
    }

    fn directory_of(&self, path: &Path, owner: Owner) -> Result<OwnedFd> {
        match self.find(path, OFlags::DIRECTORY) {
            Err(Errno::NOENT) => {}
            other => return other.map_err(|e| file("open in the root filesystem", path)(e.into())),
        }
        let mut current = PathBuf::from("/");
        let failed = |path: &Path, e: Errno| file("create in the root filesystem", path)(e.into());
        let mut parent = self.find(&current, OFlags::DIRECTORY).map_err(|e| failed(&current, e))?;
        for component in clean(path).components() {
            let Component::Normal(name) = component else { continue };
            current.push(name);
            parent = match self.find(&current, OFlags::DIRECTORY) {
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(failed(&current, error)),
                    }
                    let created = self.find(&current, OFlags::DIRECTORY).map_err(|e| failed(&current, e))?;
                    give(&created, owner).map_err(|e| failed(&current, e))?;
                    created
                }
                other => other.map_err(|e| failed(&current, e))?,
            };
        }
        Ok(parent)
    }

    /// Opens a file inside, be it a device or a socket; a missing one is created, empty.
    pub(crate) fn file(&self, path: &Path) -> Result<OwnedFd> {
        let failed = |e: Errno| file("create in the root filesystem", path)(e.into());
        match self.find(path, OFlags::empty()) {
            Err(Errno::NOENT) => {}
            other => return other.map_err(failed),
        }
        let path = clean(path);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(failed(Errno::ISDIR));
        };
        let parent = self.directory(parent)?;
        match rustix::fs::mknodat(&parent, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0) {
            Ok(()) | Err(Errno::EXIST) => self.find(&path, OFlags::empty()).map_err(failed),
            Err(error) => Err(failed(error)),
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A path from the root without `.` and `..`.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

/// Makes sure that a directory of the container exists, as runc and crun do for the working directory. What is made
/// belongs to the container's root.
///
/// What lies below a mount of the container cannot be seen from here; a directory that is missing there, or cannot be
/// made, shows when it is changed to.
pub(crate) fn ensure_directory(rootfs: &Path, directory: &Path, linux: Option<&Linux>) -> Result<()> {
    let root = Root::open(rootfs)?;
    if !matches!(root.find(directory, OFlags::DIRECTORY), Err(Errno::NOENT)) {
        return Ok(());
    }
    let owner = linux.map_or((None, None), |linux| {
        (ids::on_host(0, linux.uid_mappings()), ids::on_host(0, linux.gid_mappings()))
    });
    root.directory_of(directory, (owner.0.map(Uid::from_raw), owner.1.map(Gid::from_raw)))?;
    Ok(())
}

fn give(created: &OwnedFd, (uid, gid): Owner) -> rustix::io::Result<()> {
    if uid.is_none() && gid.is_none() {
        return Ok(());
    }
    rustix::fs::chownat(created, "", uid, gid, rustix::fs::AtFlags::EMPTY_PATH)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn directories_are_made_inside_even_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let rootfs = dir.path().join("rootfs");
        std::fs::create_dir(&rootfs).unwrap();
        symlink("/", rootfs.join("link")).unwrap();
        ensure_directory(&rootfs, Path::new("/a/b"), None).unwrap();
        ensure_directory(&rootfs, Path::new("/link/c"), None).unwrap();
        assert!(rootfs.join("a/b").is_dir());
        assert!(rootfs.join("c").is_dir());
        ensure_directory(&rootfs, Path::new("/a/b"), None).unwrap();
    }

    #[test]
    fn files_are_made_inside_even_through_links() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/../..", dir.path().join("up")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        root.file(Path::new("/up/x/../y/file")).unwrap();
        assert!(dir.path().join("y/file").is_file());
        symlink("/missing", dir.path().join("dangling")).unwrap();
        assert!(root.file(Path::new("/dangling")).is_err());
    }
}

//! The root filesystem as seen from outside, before anything is mounted.

use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::Linux;
use rustix::fs::{Gid, Mode, OFlags, ResolveFlags, Uid};

use crate::error::{Result, file};
use crate::ids;

/// Makes sure that a directory of the container exists, as runc and crun do for the working directory.
///
/// Links in the root filesystem are followed as inside, so that nothing outside of it is ever touched. What lies below
/// a mount of the container cannot be seen from here; a directory that is missing there shows when it is changed to.
pub(crate) fn ensure_directory(rootfs: &Path, directory: &Path, linux: Option<&Linux>) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(rootfs, flags, Mode::empty()).map_err(|e| file("open", rootfs)(e.into()))?;
    let inside = |path: &Path| -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve)
    };
    // One without openat2 (before 5.6) shows what is missing when the process changes to it.
    if !matches!(inside(directory), Err(rustix::io::Errno::NOENT)) {
        return Ok(());
    }
    let mut parent = inside(Path::new("/")).map_err(|e| file("open", rootfs)(e.into()))?;
    let mut path = PathBuf::from("/");
    for component in directory.components() {
        let Component::Normal(name) = component else { continue };
        path.push(name);
        parent = match inside(&path) {
            Err(rustix::io::Errno::NOENT) => {
                let failed = |e: rustix::io::Errno| file("create working directory", &path)(e.into());
                rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)).map_err(failed)?;
                let created = inside(&path).map_err(failed)?;
                give_to_root_of(linux, &created).map_err(failed)?;
                created
            }
            other => other.map_err(|e| file("open", &path)(e.into()))?,
        };
    }
    Ok(())
}

/// What a container's root makes belongs to it, not to the host's.
fn give_to_root_of(linux: Option<&Linux>, created: &OwnedFd) -> rustix::io::Result<()> {
    let (uid, gid) = linux.map_or((None, None), |linux| {
        (ids::on_host(0, linux.uid_mappings()), ids::on_host(0, linux.gid_mappings()))
    });
    if uid.is_none() && gid.is_none() {
        return Ok(());
    }
    let flags = rustix::fs::AtFlags::EMPTY_PATH;
    rustix::fs::chownat(created, "", uid.map(Uid::from_raw), gid.map(Gid::from_raw), flags)
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
}

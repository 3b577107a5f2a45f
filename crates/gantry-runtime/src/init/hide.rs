//! Paths that a container may not write, or not see.
//!
//! Each is resolved once and then covered by its descriptor: what was looked at is what is covered (CVE-2025-31133,
//! CVE-2025-52881). Paths that are missing need no cover.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsopen};

use crate::error::{Result, mount as failed};
use crate::init::devices::null;
use crate::init::mounts::{attach, clone_tree, detached};
use crate::rootfs::Root;
use crate::sys::{MountChange, change_mount};

/// Makes paths read-only: each becomes a mount of its own for that.
pub(crate) fn make_read_only(root: &Root, paths: &[String]) -> Result<()> {
    let read_only = MountChange { set: libc::MOUNT_ATTR_RDONLY, ..MountChange::default() };
    for path in paths.iter().map(Path::new) {
        let Some(place) = find(root, path)? else { continue };
        let error = || failed("make read-only", path);
        let tree = clone_tree(&place, Path::new(""), true).map_err(error())?;
        change_mount(tree.as_fd(), read_only, false).map_err(error())?;
        attach(&tree, &place).map_err(error())?;
    }
    Ok(())
}

/// Covers files with the null device and directories with an empty read-only file system.
pub(crate) fn mask(root: &Root, paths: &[String]) -> Result<()> {
    let (mut file, mut directory): (Option<OwnedFd>, Option<OwnedFd>) = (None, None);
    for path in paths.iter().map(Path::new) {
        let Some(place) = find(root, path)? else { continue };
        let error = || failed("mask", path);
        let stat = rustix::fs::fstat(&place).map_err(error())?;
        let is_directory = FileType::from_raw_mode(stat.st_mode).is_dir();
        let made = match (is_directory, &directory) {
            (false, _) => once(&mut file, || null(root))?,
            (true, Some(made)) => made,
            (true, None) => {
                // The first one is attached itself: what is attached nowhere cannot be copied before Linux 6.15.
                let first = empty().map_err(error())?;
                attach(&first, &place).map_err(error())?;
                directory = Some(first);
                continue;
            }
        };
        let tree = clone_tree(made, Path::new(""), false).map_err(error())?;
        attach(&tree, &place).map_err(error())?;
    }
    Ok(())
}

/// What is made once, when it is first needed.
fn once(kept: &mut Option<OwnedFd>, make: impl FnOnce() -> Result<OwnedFd>) -> Result<&OwnedFd> {
    let made = match kept.take() {
        Some(made) => made,
        None => make()?,
    };
    Ok(kept.insert(made))
}

fn empty() -> rustix::io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", "tmpfs")?;
    fsconfig_set_flag(&context, "ro")?;
    fsconfig_create(&context)?;
    detached(&context, libc::MOUNT_ATTR_RDONLY)
}

fn find(root: &Root, path: &Path) -> Result<Option<OwnedFd>> {
    match root.find(path, OFlags::empty()) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(failed("find", path)(error)),
    }
}

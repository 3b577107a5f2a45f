//! The root filesystem becomes the root.

use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change, mount_move,
    unmount,
};

use crate::error::{Result, mount as failed};
use crate::init::mounts::on_proc;
use crate::rootfs::Root;

/// Makes a mount of the root filesystem, from which nothing propagates to the host.
pub(crate) fn prepare(rootfs: &Path, propagation: Option<&str>) -> Result<()> {
    let recursive = |kind| {
        mount_change("/", MountPropagationFlags::REC | kind).map_err(failed("change the propagation of", "/"))
    };
    match propagation {
        Some("shared") => {
            recursive(MountPropagationFlags::SHARED)?;
            make_parent_private(rootfs)?;
        }
        Some("private") => recursive(MountPropagationFlags::PRIVATE)?,
        _ => recursive(MountPropagationFlags::DOWNSTREAM)?,
    }
    mount_bind_recursive(rootfs, rootfs).map_err(failed("make a mount of the root filesystem", rootfs))
}

/// pivot_root(2) wants a parent mount that is not shared. It is at the first of the directories above that takes it.
fn make_parent_private(rootfs: &Path) -> Result<()> {
    for directory in rootfs.ancestors() {
        match mount_change(directory, MountPropagationFlags::PRIVATE) {
            Err(Errno::INVAL) => {}
            other => return other.map_err(failed("make private", directory)),
        }
    }
    Ok(())
}

/// Makes it the root of this process and lets go of the old one.
pub(crate) fn enter(root: &Root, rootfs: &Path, no_pivot: bool, propagation: Option<&str>) -> Result<()> {
    let error = || failed("change the root to", rootfs);
    if no_pivot {
        rustix::process::fchdir(root).map_err(error())?;
        for kernels in ["/sys", "/proc"] {
            leave(kernels)?;
        }
        mount_move(".", "/").map_err(error())?;
        rustix::process::chroot(".").map_err(error())?;
    } else {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let old = rustix::fs::openat(CWD, "/", flags, Mode::empty()).map_err(failed("open", "/"))?;
        rustix::process::fchdir(root).map_err(error())?;
        // The old root ends on top of the new one, both at `/` (pivot_root(2)), so no directory is needed for it.
        rustix::process::pivot_root(".", ".").map_err(error())?;
        rustix::process::fchdir(&old).map_err(error())?;
        // Or the unmount would propagate to the host.
        mount_change(".", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM).map_err(error())?;
        unmount(".", UnmountFlags::DETACH).map_err(failed("let go of", "the old root"))?;
    }
    rustix::process::chdir("/").map_err(failed("change to", "/"))?;
    let own = match propagation {
        Some("shared") => MountPropagationFlags::SHARED,
        Some("unbindable") => MountPropagationFlags::UNBINDABLE,
        _ => return Ok(()),
    };
    mount_change("/", own).map_err(failed("change the propagation of", "/"))
}

/// Without pivot_root the old root stays below the new one; these must not be found there.
fn leave(path: &str) -> Result<()> {
    match unmount(path, UnmountFlags::DETACH) {
        Ok(()) => Ok(()),
        Err(Errno::INVAL) => {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let still = rustix::fs::open(path, flags, Mode::empty()).map_err(failed("open", path))?;
            if on_proc(std::os::fd::AsFd::as_fd(&still)) {
                return Ok(());
            }
            mount("tmpfs", path, "tmpfs", MountFlags::RDONLY, c"size=0k").map_err(failed("hide", path))
        }
        Err(error) => Err(failed("let go of", path)(error)),
    }
}

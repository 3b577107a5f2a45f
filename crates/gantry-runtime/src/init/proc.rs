//! Kernel parameters of the container's namespaces.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{FsOpenFlags, fsconfig_create, fsopen};

use crate::error::{Error, Result, mount as failed};
use crate::init::mounts::{detached, on_proc};

/// Writes the parameters below `/proc/sys`.
///
/// By a proc file system that nobody else has seen: the one at `/proc` may be covered with something that only looks
/// like it (CVE-2019-16884, CVE-2025-52881).
pub(crate) fn set_parameters(parameters: Option<&HashMap<String, String>>) -> Result<()> {
    let Some(parameters) = parameters.filter(|parameters| !parameters.is_empty()) else { return Ok(()) };
    let proc = own().or_else(|_| at_proc())?;
    for (name, value) in parameters {
        let path = PathBuf::from("sys").join(name.replace('.', "/"));
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH
            | ResolveFlags::NO_XDEV
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_SYMLINKS;
        let error = || failed("set the kernel parameter", name);
        let file = rustix::fs::openat2(&proc, path, flags, Mode::empty(), resolve).map_err(error())?;
        rustix::io::write(&file, value.as_bytes()).map_err(error())?;
    }
    Ok(())
}

fn own() -> rustix::io::Result<OwnedFd> {
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    detached(&context, libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC)
}

/// In a user namespace with parts of `/proc` covered the kernel makes no other; then the one that is there must be real.
fn at_proc() -> Result<OwnedFd> {
    let path = Path::new("/proc");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let proc = rustix::fs::open(path, flags, Mode::empty()).map_err(failed("open", path))?;
    if on_proc(std::os::fd::AsFd::as_fd(&proc)) {
        Ok(proc)
    } else {
        Err(Error::MountPoint { path: path.to_owned(), reason: "is not a proc file system" })
    }
}

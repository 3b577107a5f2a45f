//! A mount of type `cgroup`: the container's view of its cgroups.
//!
//! On version 1 that is a directory with a mount for each hierarchy. With a cgroup namespace each is mounted anew and
//! shows the container's cgroup as its root; without one it is a bind mount of the container's own cgroup.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode};
use rustix::io::Errno;
use rustix::mount::{
    FsOpenFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsopen, move_mount,
};

use crate::cgroup::{Cgroup, View};
use crate::error::{Result, file, mount as failed};
use crate::init::mounts::{attach, clone_tree, detached};
use crate::init::options::Options;
use crate::rootfs::Root;
use crate::sys::{MountChange, change_mount};

/// What no cgroup file system needs.
const RESTRICTED: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;

/// Mounts the cgroups of a container.
pub(crate) fn mount(
    path: &Path,
    options: &Options,
    cgroup: &Cgroup,
    namespace: bool,
    root: &Root,
) -> Result<()> {
    let destination = root.directory(path)?;
    let attributes = options.own.set | RESTRICTED;
    let error = |e: Errno| failed("mount the cgroups on", path)(e);
    if cgroup.is_v2() {
        let Some(view) = cgroup.views().next() else { return Ok(()) };
        let tree = match new("cgroup2", &[], attributes) {
            // In a user namespace that does not own the cgroup namespace.
            Err(Errno::PERM | Errno::BUSY) => copy(&view, attributes),
            other => other,
        };
        return attach(&tree.map_err(error)?, &destination).map_err(error);
    }
    let directory = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)
        .and_then(|context| {
            fsconfig_set_string(&context, "source", "tmpfs")?;
            fsconfig_set_string(&context, "mode", "755")?;
            fsconfig_create(&context)?;
            Ok(context)
        })
        .and_then(|context| detached(&context, attributes & !libc::MOUNT_ATTR_RDONLY))
        .map_err(error)?;
    attach(&directory, &destination).map_err(error)?;
    for view in cgroup.views() {
        let Some(name) = view.mount_point.file_name() else { continue };
        let tree =
            if namespace { new("cgroup", view.controllers, attributes) } else { copy(&view, attributes) };
        let tree = tree.map_err(|e| file("mount a copy of", &view.directory)(e.into()))?;
        rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(0o755)).map_err(failed("fill", path))?;
        // Nobody but this process knows the new directory, so the name cannot be anything else.
        move_mount(&tree, "", &directory, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(failed("fill", path))?;
        // Controllers that are mounted together can be found by each one's name.
        for controller in view.controllers.iter().filter(|c| !c.starts_with("name=") && *name != ***c) {
            match rustix::fs::symlinkat(name, &directory, controller.as_str()) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(failed("fill", path)(e)),
            }
        }
    }
    let read_only = MountChange { set: attributes & libc::MOUNT_ATTR_RDONLY, ..MountChange::default() };
    change_mount(directory.as_fd(), read_only, false).map_err(error)
}

/// A new mount of a hierarchy, whose root is that of this process's cgroup namespace.
fn new(kind: &str, controllers: &[String], attributes: u64) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", "cgroup")?;
    for controller in controllers {
        match controller.split_once('=') {
            Some((name, value)) => fsconfig_set_string(&context, name, value)?,
            None => fsconfig_set_flag(&context, controller.as_str())?,
        }
    }
    fsconfig_create(&context)?;
    detached(&context, attributes)
}

/// A copy of the container's own part of a hierarchy.
fn copy(view: &View<'_>, attributes: u64) -> rustix::io::Result<OwnedFd> {
    let tree = clone_tree(CWD, &view.directory, true)?;
    change_mount(tree.as_fd(), MountChange { set: attributes, ..MountChange::default() }, true)?;
    Ok(tree)
}

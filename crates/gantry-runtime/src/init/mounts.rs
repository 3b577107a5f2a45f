//! The mounts of a configuration.
//!
//! Each is made detached, with all its attributes, and then attached to the descriptor of its destination, which was
//! resolved inside the root filesystem. So nobody who shares files with the container can lead it elsewhere, and
//! there is no moment at which it is there without its attributes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::Mount;
use rustix::fs::{CWD, FileType, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::error::{Error, Result, file, mount as failed};
use crate::init::options::Options;
use crate::init::{Init, cgroups, copy_up};
use crate::rootfs::{Root, clean};
use crate::sys::{MountChange, change_mount};

/// `PROC_SUPER_MAGIC` of linux/magic.h.
const PROC_MAGIC: i64 = 0x9fa0;
/// The longest value that fsconfig(2) takes, without the null byte.
const LONGEST_VALUE: usize = 255;

/// What may be mounted over inside `/proc`: files with numbers that are the machine's (lxcfs), as with runc.
const IN_PROC: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

/// Makes all mounts, in order. Says whether `/dev` is to be made read-only once it is complete.
pub(crate) fn mount_all(init: &Init<'_>, root: &Root, cgroup_namespace: bool) -> Result<bool> {
    let mut dev_read_only = false;
    for mount in init.spec.mounts().iter().flatten() {
        let mut options = Options::of(mount);
        let path = mount.destination();
        if clean(path) == Path::new("/dev") && !options.bind {
            dev_read_only = options.own.set & libc::MOUNT_ATTR_RDONLY != 0;
            options.own.set &= !libc::MOUNT_ATTR_RDONLY;
        }
        if options.remount {
            return Err(Error::MountPoint {
                path: path.clone(),
                reason: "has the option remount, which is not supported",
            });
        }
        if options.copy_up && (options.bind || mount.typ().as_deref() != Some("tmpfs")) {
            let reason = "has the option tmpcopyup, which only a tmpfs takes";
            return Err(Error::MountPoint { path: path.clone(), reason });
        }
        if options.bind {
            bind(mount, &options, init.bundle, root)?;
        } else if mount.typ().as_deref() == Some("cgroup") {
            cgroups::mount(path, &options, init.cgroup, cgroup_namespace, root)?;
        } else {
            file_system(mount, &options, root)?;
        }
    }
    Ok(dev_read_only)
}

fn bind(mount: &Mount, options: &Options, bundle: &Path, root: &Root) -> Result<()> {
    let path = mount.destination();
    let source = mount.source().as_deref().ok_or_else(|| Error::MountPoint {
        path: path.clone(),
        reason: "is a bind mount without a source",
    })?;
    let source = bundle.join(source);
    let tree = clone_tree(CWD, &source, options.bind_recursive)
        .map_err(|e| file("open mount source", &source)(e.into()))?;
    let stat = rustix::fs::fstat(&tree).map_err(|e| file("look at", &source)(e.into()))?;
    let is_directory = FileType::from_raw_mode(stat.st_mode).is_dir();
    let destination = if is_directory { root.directory(path)? } else { root.file(path)? };
    let is_proc = || {
        use std::os::unix::fs::MetadataExt;
        // The root directory of a proc file system has this number.
        const PROC_ROOT: u64 = 1;
        on_proc(tree.as_fd()) && std::fs::metadata(&source).is_ok_and(|source| source.ino() == PROC_ROOT)
    };
    check_proc(&destination, path, is_proc)?;
    change(&tree, options, path)?;
    attach(&tree, &destination).map_err(failed("mount", path))
}

fn file_system(mount: &Mount, options: &Options, root: &Root) -> Result<()> {
    let path = mount.destination();
    let kind = mount.typ().as_deref().unwrap_or("none");
    let destination = match kind {
        "proc" | "sysfs" => plain_directory(root, path)?,
        _ => root.directory(path)?,
    };
    check_proc(&destination, path, || kind == "proc")?;
    if options.data.iter().any(|option| value_of(option).1.is_some_and(|v| v.len() > LONGEST_VALUE)) {
        return file_system_by_mount(mount, kind, options, &destination, root);
    }
    let context =
        fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed("open the file system for", path))?;
    if let Some(source) = mount.source() {
        set(context.as_fd(), "source", Some(source), path)?;
    }
    for option in &options.data {
        let (name, value) = value_of(option);
        set(context.as_fd(), name, value.map(Path::new), path)?;
    }
    // As mount(8) does. A tmpfs stays writable below, as with runc and crun.
    if options.own.set & libc::MOUNT_ATTR_RDONLY != 0 && kind != "tmpfs" {
        set(context.as_fd(), "ro", None, path)?;
    }
    fsconfig_create(&context).map_err(failed("create the file system for", path))?;
    let read_only = if options.copy_up { options.own.set & libc::MOUNT_ATTR_RDONLY } else { 0 };
    let tree = detached(&context, options.own.set & !read_only).map_err(failed("mount", path))?;
    if options.copy_up {
        copy_up::copy(destination.as_fd(), &tree).map_err(failed("fill with what is covered", path))?;
    }
    let own = MountChange { set: read_only, ..MountChange::default() };
    change(&tree, &Options { own, ..later(options) }, path)?;
    attach(&tree, &destination).map_err(failed("mount", path))
}

/// With values that fsconfig(2) does not take: mount(2) onto the descriptor, and the attributes after that.
fn file_system_by_mount(
    mount: &Mount,
    kind: &str,
    options: &Options,
    destination: &OwnedFd,
    root: &Root,
) -> Result<()> {
    let path = mount.destination();
    let data = std::ffi::CString::new(options.data.join(","))
        .map_err(|e| failed("mount", path)(std::io::Error::from(e)))?;
    // The host's /proc is still there.
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(destination));
    let source = mount.source().as_deref().unwrap_or_else(|| Path::new("none"));
    rustix::mount::mount(source, link, kind, rustix::mount::MountFlags::empty(), data.as_c_str())
        .map_err(failed("mount", path))?;
    let mounted = root.find(path, OFlags::DIRECTORY).map_err(failed("find", path))?;
    if options.copy_up {
        copy_up::copy(destination.as_fd(), &mounted).map_err(failed("fill with what is covered", path))?;
    }
    change(&mounted, options, path)
}

fn later(options: &Options) -> Options {
    Options { recursive: options.recursive, propagation: options.propagation, ..Options::default() }
}

fn set(context: BorrowedFd<'_>, name: &str, value: Option<&Path>, path: &Path) -> Result<()> {
    match value {
        Some(value) => fsconfig_set_string(context, name, value),
        None => fsconfig_set_flag(context, name),
    }
    .map_err(|source| Error::MountOption {
        option: name.to_owned(),
        path: path.to_owned(),
        source: source.into(),
    })
}

fn value_of(option: &str) -> (&str, Option<&str>) {
    option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)))
}

/// A detached mount of a file system that was configured, with attributes.
pub(crate) fn detached(context: &OwnedFd, attributes: u64) -> rustix::io::Result<OwnedFd> {
    let attributes = u32::try_from(attributes).map_err(|_| Errno::INVAL)?;
    let attributes = MountAttrFlags::from_bits_retain(attributes);
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// A detached copy of what is mounted at a path, or of the directory or file there.
pub(crate) fn clone_tree(at: impl AsFd, path: &Path, recursive: bool) -> rustix::io::Result<OwnedFd> {
    let mut flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(at, path, flags)
}

/// Attaches a detached mount.
pub(crate) fn attach(tree: &OwnedFd, destination: &OwnedFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", destination, "", flags)
}

/// Gives a mount the attributes and the propagation of its options.
fn change(tree: &OwnedFd, options: &Options, path: &Path) -> Result<()> {
    let apply = |change, recursive| {
        change_mount(tree.as_fd(), change, recursive).map_err(failed("change the attributes of", path))
    };
    apply(options.own, false)?;
    apply(options.recursive, true)?;
    match options.propagation {
        Some((propagation, recursive)) => {
            apply(MountChange { propagation, ..MountChange::default() }, recursive)
        }
        None => Ok(()),
    }
}

/// The destination of a file system of the kernel's own: not a link, so that what is checked by its usual path is it
/// (CVE-2019-16884, CVE-2023-27561).
fn plain_directory(root: &Root, path: &Path) -> Result<OwnedFd> {
    let refused =
        || Error::MountPoint { path: path.to_owned(), reason: "must be mounted on an ordinary directory" };
    match root.find(&clean(path), OFlags::NOFOLLOW) {
        Ok(found) => {
            let stat = rustix::fs::fstat(&found).map_err(failed("look at", path))?;
            if FileType::from_raw_mode(stat.st_mode).is_dir() { Ok(found) } else { Err(refused()) }
        }
        Err(Errno::NOENT) => root.directory(path),
        Err(error) => Err(failed("find", path)(error)),
    }
}

/// Refuses what would hide `/proc`, or something in it, from the checks that rely on it.
fn check_proc(destination: &OwnedFd, path: &Path, is_proc: impl Fn() -> bool) -> Result<()> {
    let path = clean(path);
    let refuse = |reason| Err(Error::MountPoint { path: path.clone(), reason });
    if path == Path::new("/proc") {
        return if is_proc() { Ok(()) } else { refuse("cannot be mounted because it is not of type proc") };
    }
    if on_proc(destination.as_fd()) && !IN_PROC.iter().any(|allowed| path == Path::new(allowed)) {
        return refuse("cannot be mounted because it is inside /proc");
    }
    Ok(())
}

/// Whether a descriptor is of a file in a proc file system.
pub(crate) fn on_proc(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatfs(fd).is_ok_and(|stat| stat.f_type == PROC_MAGIC)
}

//! The terminal of the first process: a pair of the container's own devpts, its far end at `/dev/console` too.
//!
//! An image may hold anything at these names, so what was opened is checked to be what it should be (CVE-2025-52565).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;

use crate::console;
use crate::error::{Error, Result, mount as failed};
use crate::init::mounts::{attach, clone_tree};
use crate::rootfs::Root;

/// `DEVPTS_SUPER_MAGIC` of linux/magic.h.
const DEVPTS_MAGIC: i64 = 0x1cd1;
/// The device numbers of the near end and of all far ends, and the former's file number (Documentation/admin-guide/devices.txt,
/// fs/devpts/inode.c).
const PTMX: (u32, u32) = (5, 2);
const PTMX_FILE: u64 = 2;
const FAR_MAJOR: u32 = 136;

/// Opens a terminal for a user, makes it the standard streams of this process and sends its master away. It becomes the
/// controlling terminal once this process leads a session.
pub(crate) fn open(root: &Root, socket: BorrowedFd<'_>, user: u32) -> Result<()> {
    let path = Path::new("/dev/pts/ptmx");
    let found = root.find(path, OFlags::NOFOLLOW).map_err(failed("find", path))?;
    check(&found, "/dev/pts/ptmx", |stat| {
        stat.st_ino == PTMX_FILE && stat.st_rdev == rustix::fs::makedev(PTMX.0, PTMX.1)
    })?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let near = rustix::fs::open(path, flags, Mode::empty()).map_err(failed("open", path))?;
    check(&near, "/dev/pts/ptmx", |stat| {
        stat.st_ino == PTMX_FILE && stat.st_rdev == rustix::fs::makedev(PTMX.0, PTMX.1)
    })?;
    rustix::pty::unlockpt(&near).map_err(failed("unlock the terminal of", path))?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let far = rustix::pty::ioctl_tiocgptpeer(&near, flags).map_err(failed("open the terminal of", path))?;
    check(&far, "the terminal", |stat| rustix::fs::major(stat.st_rdev) == FAR_MAJOR)?;
    // The group is the mount's (gid=5) and stays.
    rustix::fs::fchown(&far, Some(Uid::from_raw(user)), None)
        .map_err(failed("give the terminal of", path))?;
    mount_console(root, &far)?;
    console::send(socket, &near).map_err(failed("send the terminal of", path))?;
    rustix::stdio::dup2_stdin(&far)
        .and_then(|()| rustix::stdio::dup2_stdout(&far))
        .and_then(|()| rustix::stdio::dup2_stderr(&far))
        .map_err(failed("take the terminal of", path))
}

fn check(fd: &OwnedFd, name: &str, holds: impl Fn(&rustix::fs::Stat) -> bool) -> Result<()> {
    let on_devpts = rustix::fs::fstatfs(fd).is_ok_and(|stat| stat.f_type == DEVPTS_MAGIC);
    let is_device = rustix::fs::fstat(fd)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && holds(&stat));
    if on_devpts && is_device {
        Ok(())
    } else {
        Err(Error::MountPoint { path: name.into(), reason: "is not of a devpts file system" })
    }
}

fn mount_console(root: &Root, far: &OwnedFd) -> Result<()> {
    let path = Path::new("/dev/console");
    let error = || failed("mount the terminal on", path);
    let dev = root.directory(Path::new("/dev"))?;
    match rustix::fs::mknodat(&dev, "console", FileType::RegularFile, Mode::from_raw_mode(0o666), 0) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(error()(e)),
    }
    let place =
        rustix::fs::openat(&dev, "console", OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            .map_err(error())?;
    let stat = rustix::fs::fstat(&place).map_err(error())?;
    if FileType::from_raw_mode(stat.st_mode).is_symlink() {
        return Err(Error::MountPoint { path: path.to_owned(), reason: "is a link" });
    }
    let tree = clone_tree(far.as_fd(), Path::new(""), false).map_err(error())?;
    attach(&tree, &place).map_err(error())
}

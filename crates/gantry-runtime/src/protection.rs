//! Keeps the runtime's binary out of a container's reach (the CVE-2019-5736 class).
//!
//! A container can make its command `/proc/self/exe`, and so run this very file inside; whoever then holds that link
//! can open the file for writing once it no longer runs. So the runtime never enters a container as its file: it clones
//! the mount of the file alone, makes the clone read-only and executes itself from there. The link then leads to a
//! mount that is in no namespace, cannot be remounted and refuses writing. That costs one execve of a static binary;
//! nothing is copied. A copy in a sealed memfd is the way on kernels that cannot do this (before 5.12).

use std::env;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{AtFlags, MemfdFlags, SealFlags, StatVfsMountFlags, StatxAttributes, StatxFlags};
use rustix::mount::OpenTreeFlags;

use crate::error::{Error, Result, file};
use crate::sys;

const SELF: &str = "/proc/self/exe";

/// Does what [`ensure`] does before the command line is understood, if it looks like that of a command that will call it.
/// Understanding it once is enough; and where the look deceives, an execve more does no harm.
pub(crate) fn anticipate() {
    let enters = |argument: std::ffi::OsString| matches!(argument.to_str(), Some("create" | "run" | "exec"));
    if env::args_os().skip(1).any(enters) {
        // What is wrong shows when the command calls for it.
        let _ = ensure();
    }
}

/// Makes sure that this process does not run from a file that can be written. Executes itself anew for that if it has to,
/// in which case it does not return.
pub(crate) fn ensure() -> Result<()> {
    let exe = File::open(SELF).map_err(file("open", SELF))?;
    if is_protected(&exe) {
        return Ok(());
    }
    let program = read_only_mount().or_else(|_| sealed_copy(&exe)).map_err(file("protect", SELF))?;
    drop(exe);
    let strings =
        |all: &mut dyn Iterator<Item = Vec<u8>>| all.map(CString::new).collect::<std::result::Result<_, _>>();
    let args = strings(&mut env::args_os().map(OsStringExt::into_vec));
    let vars =
        strings(&mut env::vars_os().map(|(name, value)| [name.into_vec(), value.into_vec()].join(&b'=')));
    let (Ok(args), Ok(vars)): (std::result::Result<Vec<_>, _>, std::result::Result<Vec<_>, _>) = (args, vars)
    else {
        return Err(Error::Usage("an argument contains a null byte".to_owned()));
    };
    Err(file("execute the protected", SELF)(sys::execveat(program.as_fd(), &args, &vars)))
}

/// Whether the file is what [`read_only_mount`] or [`sealed_copy`] make.
fn is_protected(exe: &File) -> bool {
    let sealed = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    if rustix::fs::fcntl_get_seals(exe).is_ok_and(|seals| seals.contains(sealed)) {
        return true;
    }
    let read_only = rustix::fs::fstatvfs(exe).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::RDONLY));
    // The mount of one file, not of the file system that it lies in.
    read_only
        && rustix::fs::statx(exe, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
            .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn read_only_mount() -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = rustix::mount::open_tree(rustix::fs::CWD, SELF, flags)?;
    let read_only = sys::MountChange { set: libc::MOUNT_ATTR_RDONLY, ..Default::default() };
    sys::change_mount(mount.as_fd(), read_only, false)?;
    Ok(mount)
}

fn sealed_copy(exe: &File) -> io::Result<OwnedFd> {
    let copy = rustix::fs::memfd_create("gantry-runtime", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut copy = File::from(copy);
    io::copy(&mut &*exe, &mut copy)?;
    rustix::fs::fcntl_add_seals(
        &copy,
        SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
    )?;
    // A file that is open for writing cannot be executed, so it is opened anew.
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&copy));
    Ok(File::open(path)?.into())
}

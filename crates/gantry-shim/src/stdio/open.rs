//! Opening what the client named, so that nothing ever blocks.
//!
//! Each path is looked up once (`O_PATH`), and everything is opened from there by `/proc/self/fd`: whoever
//! swaps the path meanwhile changes nothing, and a FIFO's second end is surely the same FIFO's. The read end
//! goes first, without blocking (fifo(7)); then a writer finds a reader and cannot block either. That is why
//! output waits in the FIFO for a late client, and why a client that comes and goes harms nobody.

use crate::error::{Error, Result};
use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// Always: no controlling terminal by accident, no waiting, nothing inherited.
const ALWAYS: OFlags = OFlags::NOCTTY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// How descriptors are opened for the process.
#[derive(Clone, Copy)]
pub(crate) struct How {
    /// Leave them non-blocking, since the shim itself uses them. A process expects them to block.
    pub(crate) nonblocking: bool,
    /// Who must be able to reopen a FIFO through `/proc/self/fd`: the container's root, where that is not
    /// ours (user namespaces). 0.2 gave it its own pipes; here the FIFO itself is given.
    pub(crate) owner: Option<(Uid, Gid)>,
}

/// Standard input; nothing for an empty path.
#[derive(Default)]
pub(crate) struct Input {
    /// What the process, or the terminal, is fed from.
    pub(crate) read: Option<OwnedFd>,
    /// The FIFO's write end that keeps the process from seeing the end of file when a client detaches.
    pub(crate) closer: Option<OwnedFd>,
}

/// Standard output or error; nothing for an empty path.
#[derive(Default)]
pub(crate) struct Output {
    /// What the process, or the terminal, writes to.
    pub(crate) write: Option<OwnedFd>,
    /// For a FIFO, its read end: with it the content survives the last writer, and writing never fails when
    /// the client has gone.
    pub(crate) keep: Option<OwnedFd>,
    /// Whether `write` is the very file description that the process was given.
    pub(crate) is_the_process_own: bool,
}

/// Opens a path as standard input.
pub(crate) fn input(path: &Path, how: How) -> Result<Input> {
    if path.as_os_str().is_empty() {
        return Ok(Input::default());
    }
    open_input(path, how).map_err(Error::open(path))
}

/// Opens a path as standard output or error; a plain file that is missing is made, since it is a log.
pub(crate) fn output(path: &Path, how: How) -> Result<Output> {
    if path.as_os_str().is_empty() {
        return Ok(Output::default());
    }
    open_output(path, how).map_err(Error::open(path))
}

pub(super) fn open_input(path: &Path, how: How) -> Result<Input, Errno> {
    let (handle, kind) = look_up(path)?;
    let read = reopen(&handle, OFlags::RDONLY)?;
    let closer = kind.is_fifo().then(|| reopen(&handle, OFlags::WRONLY)).transpose()?;
    if kind.is_fifo() {
        hand_over(&read, how)?;
    }
    make_blocking(&read, how)?;
    Ok(Input { read: Some(read), closer })
}

pub(super) fn open_output(path: &Path, how: How) -> Result<Output, Errno> {
    let (handle, kind) = match look_up(path) {
        Err(Errno::NOENT) => return create(path, how),
        found => found?,
    };
    let keep = kind.is_fifo().then(|| reopen(&handle, OFlags::RDONLY)).transpose()?;
    let append = if kind.is_file() { OFlags::APPEND } else { OFlags::empty() };
    let write = reopen(&handle, OFlags::WRONLY | append)?;
    if kind.is_fifo() {
        hand_over(&write, how)?;
    }
    make_blocking(&write, how)?;
    Ok(Output { write: Some(write), keep, is_the_process_own: true })
}

fn create(path: &Path, how: How) -> Result<Output, Errno> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | ALWAYS;
    let write = fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
    make_blocking(&write, how)?;
    Ok(Output { write: Some(write), keep: None, is_the_process_own: true })
}

pub(super) fn look_up(path: &Path) -> Result<(OwnedFd, FileType), Errno> {
    let handle = fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let kind = FileType::from_raw_mode(fs::fstat(&handle)?.st_mode);
    Ok((handle, kind))
}

/// Opens the file behind a descriptor anew, with a file description of its own.
pub(crate) fn reopen(handle: &impl AsFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    fs::open(path_of(handle), flags | ALWAYS, Mode::empty())
}

/// A name for the file behind a descriptor, for calls that only take names (`proc_pid_fd(5)`).
pub(crate) fn path_of(handle: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd())
}

fn hand_over(fifo: &OwnedFd, how: How) -> Result<(), Errno> {
    let Some((uid, gid)) = how.owner else { return Ok(()) };
    fs::fchown(fifo, Some(uid), Some(gid))
}

fn make_blocking(fd: &OwnedFd, how: How) -> Result<(), Errno> {
    if how.nonblocking {
        return Ok(());
    }
    fs::fcntl_setfl(fd, fs::fcntl_getfl(fd)? - OFlags::NONBLOCK)
}

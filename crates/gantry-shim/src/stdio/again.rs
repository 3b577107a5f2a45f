//! Opening once more what a shim that died had open for a process that runs.
//!
//! Only FIFOs matter: the process has its own descriptors of everything else. A FIFO that has lost its name since
//! cannot be had again; those who have it open keep it alive, and nobody can come for it by name any more.

use super::open::{How, Input, Output, look_up, open_input, open_output};
use crate::error::Error;
use rustix::fs::{OFlags, fcntl_getfl, fstat};
use rustix::io::Errno;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;

/// Standard input, whose closing must not come by accident.
pub(super) fn input(path: &Path, how: How, complain: &mut dyn FnMut(Error)) -> Input {
    fifo(path, complain, || open_input(path, how))
}

/// Standard output or error. `given` is the process's pidfd and the number of the descriptor that it was given.
pub(super) fn output(
    path: &Path,
    how: How,
    given: Option<(&OwnedFd, RawFd)>,
    complain: &mut dyn FnMut(Error),
) -> Output {
    let output = fifo(path, complain, || open_output(path, how));
    let output = Output { is_the_process_own: false, ..output };
    let own =
        given.zip(output.keep.as_ref()).and_then(|((process, number), fifo)| take(process, number, fifo));
    match own {
        Some(write) => Output { write: Some(write), is_the_process_own: true, ..output },
        None => output,
    }
}

fn fifo<T: Default>(
    path: &Path,
    complain: &mut dyn FnMut(Error),
    open: impl FnOnce() -> Result<T, Errno>,
) -> T {
    if path.as_os_str().is_empty() {
        return T::default();
    }
    let found = look_up(path).and_then(|(_, kind)| if kind.is_fifo() { open() } else { Ok(T::default()) });
    found.unwrap_or_else(|errno| {
        complain(Error::open(path)(errno));
        T::default()
    })
}

/// The process's own descriptor (`pidfd_getfd(2)`, Linux 5.6), if it still is the FIFO's: the file description that was
/// given to it and to what it started.
fn take(process: &OwnedFd, number: RawFd, fifo: &OwnedFd) -> Option<OwnedFd> {
    let theirs = pidfd_getfd(process, number, PidfdGetfdFlags::empty()).ok()?;
    let (one, other) = (fstat(&theirs).ok()?, fstat(fifo).ok()?);
    let is_same = (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino);
    let writes = fcntl_getfl(&theirs).ok()?.intersects(OFlags::WRONLY | OFlags::RDWR);
    (is_same && writes).then_some(theirs)
}

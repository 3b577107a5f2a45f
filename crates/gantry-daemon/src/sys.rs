//! The calls that the compiler cannot check: descriptors that others have opened, and the C library's allocator.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// The sockets that a service manager has opened for us, with their numbers. To be called once: each is handed out as
/// the owner's.
pub(crate) fn inherited_sockets() -> io::Result<Vec<(i32, OwnedFd)>> {
    let numbers = sd_notify::listen_fds()?;
    // SAFETY: the service manager has opened these descriptors for this process, which LISTEN_PID confirms, and
    // nothing else in it has been told of them.
    Ok(numbers.map(|number| (number, unsafe { OwnedFd::from_raw_fd(number) })).collect())
}

/// Keeps all memory in one pool. The C library makes one for each thread, and what one has freed the others cannot
/// use; the daemon has few threads and seldom allocates, so that they hardly ever wait for each other.
#[cfg(target_env = "gnu")]
pub(crate) fn one_pool() {
    // SAFETY: it only sets a number, before there is any other thread. That it may fail is no harm.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Gives memory that is free back to the system.
#[cfg(target_env = "gnu")]
pub(crate) fn trim() {
    // SAFETY: it takes the allocator's own locks and touches only what nobody has allocated.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries have no such thing.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn one_pool() {}

/// Other C libraries have no such thing.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn trim() {}

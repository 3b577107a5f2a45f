//! The calls that the compiler cannot check.

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

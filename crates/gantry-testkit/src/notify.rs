//! Learning that a daemon is up: the receiving end of sd_notify(3).

use crate::wait::patient;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

/// The socket that a starting daemon reports to.
pub(crate) struct Readiness {
    socket: UnixDatagram,
    path: PathBuf,
}

/// Why a daemon is not ready.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotReady {
    Ended,
    TimedOut,
}

impl Readiness {
    /// Binds the socket in `folder`.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let path = folder.join("notify.sock");
        let socket = UnixDatagram::bind(&path).expect("bind the readiness socket");
        socket.set_nonblocking(true).expect("a non-blocking socket");
        Self { socket, path }
    }

    /// What `NOTIFY_SOCKET` must say.
    pub(crate) fn address(&self) -> &Path {
        &self.path
    }

    /// Waits until `child` says that it is ready.
    pub(crate) fn wait(&self, child: &Child, timeout: Duration) -> Result<(), NotReady> {
        let handle = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).expect("a handle on a child");
        let end = Instant::now() + patient(timeout);
        loop {
            if self.has_ready_message() {
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            let mut events = [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&handle, PollFlags::IN)];
            let left = Timespec::try_from(left).expect("a time that fits");
            if poll(&mut events, Some(&left)).expect("wait for readiness") == 0 {
                return Err(NotReady::TimedOut);
            }
            let (message, ended) = (!events[0].revents().is_empty(), !events[1].revents().is_empty());
            if ended && !message {
                return Err(NotReady::Ended);
            }
        }
    }

    /// Takes the waiting messages; whether one of them says `READY=1`.
    fn has_ready_message(&self) -> bool {
        let mut buffer = [0_u8; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            if buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return true;
            }
        }
        false
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn hears_ready_and_notices_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let readiness = Readiness::in_folder(folder.path());
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(readiness.wait(&child, Duration::from_millis(5)), Err(NotReady::TimedOut));
        let sender = UnixDatagram::unbound().unwrap();
        sender.send_to(b"STATUS=starting", readiness.address()).unwrap();
        sender.send_to(b"MAINPID=1\nREADY=1\n", readiness.address()).unwrap();
        assert_eq!(readiness.wait(&child, Duration::from_secs(5)), Ok(()));
        child.kill().unwrap();
        assert_eq!(readiness.wait(&child, Duration::from_secs(5)), Err(NotReady::Ended));
        child.wait().unwrap();
    }
}

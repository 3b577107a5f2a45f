//! A running process of a container, and everything that can be done to it without its runtime.

use crate::error::{Error, Result};
use crate::handover::Succession;
use crate::sys;
use gantry_record::control::ControlMessage;
use gantry_record::proc::{self, ProcStat};
use gantry_record::{ContainerId, ExitStatus, ProcessDir, ProcessId, failpoint, pidfd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// Highest signal number of Linux (signal(7)).
const MAX_SIGNAL: u32 = 64;

/// A process that cannot be mistaken for another one that gets its pid later (design, promise 3).
#[derive(Clone, Debug)]
pub struct Identity {
    /// The pid on the host.
    pub pid: i32,
    /// Field 22 of `/proc/<pid>/stat`; `None` when it ended before anybody looked.
    pub start_time: Option<u64>,
    /// A descriptor of that very process, where the kernel has them and it was alive.
    pidfd: Option<Arc<OwnedFd>>,
}

impl Identity {
    /// Looks up who `pid` is. With a `start_time` noted before, only that process is taken.
    #[must_use]
    pub fn of(pid: i32, start_time: Option<u64>) -> Self {
        let pidfd = Pid::from_raw(pid).and_then(|p| pidfd_open(p, PidfdFlags::empty()).ok()).map(Arc::new);
        // The descriptor was opened first: if the start time is right now, it is of that process.
        let now = ProcStat::of(pid).map(|stat| stat.start_time);
        match start_time {
            Some(known) if now != Some(known) => Self { pid, start_time: Some(known), pidfd: None },
            _ => Self { pid, start_time: start_time.or(now), pidfd },
        }
    }

    /// Looks up a process that was just made. One that has ended already gets start time 0, which no process
    /// has, so that nobody who gets its pid is ever taken for it.
    #[must_use]
    pub fn of_new(pid: i32) -> Self {
        let identity = Self::of(pid, None);
        Self { start_time: identity.start_time.or(Some(0)), ..identity }
    }

    /// Every process of the host. Each is identified before anybody looks at it: what is read of it afterwards is of
    /// that process or of none.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::all_pids().map(|pid| Self::of(pid, None))
    }

    /// Every number that is some process's at this moment.
    pub(crate) fn all_pids() -> impl Iterator<Item = i32> {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
    }

    /// A process that is known to have ended.
    #[must_use]
    pub fn recorded(pid: i32, start_time: Option<u64>) -> Self {
        Self { pid, start_time, pidfd: None }
    }

    /// Whether it still runs; one that waits to be reaped does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        proc::is_same(self.pid, self.start_time)
            && ProcStat::of(self.pid).is_some_and(|stat| !stat.is_zombie())
    }

    /// Sends a signal to this process and no other.
    ///
    /// # Errors
    /// The kernel's; `ESRCH` when it has ended.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        match &self.pidfd {
            Some(pidfd) => sys::pidfd_send_signal(pidfd.as_fd(), signal),
            None if proc::is_same(self.pid, self.start_time) => sys::kill(self.pid, signal),
            None => Err(rustix::io::Errno::SRCH.into()),
        }
    }

    /// Waits until it has ended (it may still be a zombie); returns whether it has.
    pub async fn ended_within(&self, limit: Duration) -> bool {
        if self.pidfd.is_some() {
            return self.wait_for(limit, |_| true).await || !self.is_alive();
        }
        // Without pidfds (before Linux 5.3) nothing tells of the end of a process that is no child.
        let deadline = tokio::time::Instant::now() + limit;
        while self.is_alive() {
            if tokio::time::Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }

    /// The true status, read from the kernel once whoever adopted the process has reaped it. `None` where
    /// the kernel can't tell (before Linux 6.15) or nobody has reaped it within `limit`.
    pub async fn reaped_status(&self, limit: Duration) -> Option<ExitStatus> {
        let pidfd = self.pidfd.as_ref()?;
        self.wait_for(limit, tokio::io::Ready::is_read_closed).await;
        pidfd::exit_status(pidfd.as_fd()).map(ExitStatus::from_wait_status)
    }

    /// Waits for a readiness of the pidfd: readable means ended, closed means reaped.
    async fn wait_for(&self, limit: Duration, enough: impl Fn(tokio::io::Ready) -> bool) -> bool {
        // A descriptor of its own, since two waits may run at once.
        let own = self.pidfd.as_ref().and_then(|fd| fd.try_clone().ok());
        let Some(Ok(pidfd)) = own.map(sys::watch) else { return false };
        let wait = async {
            while let Ok(mut guard) = pidfd.readable().await {
                if enough(guard.ready()) {
                    return true;
                }
                guard.clear_ready();
            }
            false
        };
        tokio::time::timeout(limit, wait).await.unwrap_or(false)
    }
}

/// A process that was started, or found running.
#[derive(Debug)]
pub struct Process {
    /// The container.
    pub container: ContainerId,
    /// `init`, or the exec's id.
    pub id: ProcessId,
    /// What it was told to be: its [`ProcessRecord`](gantry_record::ProcessRecord) as JSON, which takes a
    /// tenth of the parsed form's memory.
    pub record: Arc<[u8]>,
    /// Who it is on the host.
    pub identity: Identity,
    pub(crate) dir: ProcessDir,
    pub(crate) control: OwnedFd,
    pub(crate) succession: Succession,
}

impl Process {
    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &ProcessDir {
        &self.dir
    }

    /// Sends a signal by number.
    ///
    /// # Errors
    /// [`Error::InvalidSignal`], [`Error::NoSuchProcess`], or [`Error::Process`] with the kernel's reason.
    pub fn signal(&self, number: u32) -> Result<()> {
        let signal = i32::try_from(number)
            .ok()
            .filter(|_| number <= MAX_SIGNAL)
            .ok_or(Error::InvalidSignal(number))?;
        failpoint::io("daemon::signal::send").map_err(|e| self.failed("signal", e.into()))?;
        self.identity.signal(signal).map_err(|source| match source.raw_os_error() {
            Some(libc::ESRCH) => Error::NoSuchProcess,
            Some(libc::EINVAL) => Error::InvalidSignal(number),
            _ => self.failed("signal", source),
        })
    }

    /// Sets the terminal's size; without a terminal the shim ignores it.
    ///
    /// # Errors
    /// [`Error::Process`] when the shim can't be told.
    pub fn resize(&self, width: u16, height: u16) -> Result<()> {
        self.tell(ControlMessage::Resize { width, height })
    }

    /// Closes the shim's end of the stdin FIFO: the process sees end of file once its client has closed too.
    ///
    /// # Errors
    /// [`Error::Process`] when the shim can't be told.
    pub fn close_stdin(&self) -> Result<()> {
        self.succession.holders.close_stdin();
        // For whoever comes to hold it later: a successor of the shim, or of this daemon.
        if let Err(error) = self.dir.mark_stdin_closed() {
            warn!(container = %self.container, process = %self.id, %error, "a later shim would keep its input open");
        }
        self.tell(ControlMessage::CloseStdin)
    }

    fn tell(&self, message: ControlMessage) -> Result<()> {
        const STEP: &str = "write to the control FIFO of";
        failpoint::io("daemon::control::write").map_err(|e| self.failed(STEP, e.into()))?;
        // A line is shorter than PIPE_BUF, so it is written whole or not at all (pipe(7)).
        rustix::io::write(&self.control, message.encode().as_bytes())
            .map(drop)
            .map_err(|e| self.failed(STEP, e.into()))
    }

    fn failed(&self, step: &'static str, source: io::Error) -> Error {
        Error::Process { step, container: self.container.clone(), process: self.id.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stranger_with_the_same_pid_is_never_signalled() {
        let mut child = tokio::process::Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
        let pid = i32::try_from(child.id().unwrap()).unwrap();
        let real = Identity::of(pid, None);
        let stranger = Identity::of(pid, Some(real.start_time.unwrap() + 1));
        assert!(real.is_alive() && !stranger.is_alive());
        assert_eq!(stranger.signal(9).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        assert!(!real.ended_within(Duration::from_millis(10)).await);
        real.signal(9).unwrap();
        assert!(real.ended_within(Duration::from_secs(10)).await);
        child.wait().await.unwrap();
        assert!(
            real.reaped_status(Duration::from_secs(10))
                .await
                .is_none_or(|status| status == ExitStatus::KILLED)
        );
        assert!(!real.is_alive());
    }
}

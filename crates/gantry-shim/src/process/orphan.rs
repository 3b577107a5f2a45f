//! A process that another shim had made and left behind by dying.
//!
//! Whoever adopted it (the first subreaper above the dead shim, or pid 1) is its parent now and reaps it, so wait(2) is
//! of no use here. The pidfd tells the end, and, once it has been reaped, the status ([`gantry_record::pidfd`]).

use super::Ended;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Source};
use gantry_record::proc::ProcStat;
use gantry_record::{ExitStatus, ProcessDir, Usage, pidfd};
use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long the new parent may take to reap it. Many a pid 1 only looks every other second.
const REAP_LIMIT: Duration = Duration::from_secs(10);

/// Such a process.
pub(crate) struct Orphan {
    pid: Pid,
    start_time: u64,
    /// Nothing if it was over, and forgotten by the kernel, before this shim came.
    pidfd: Option<OwnedFd>,
    /// Until when it may still be reaped; nothing while it runs.
    reaped_by: Option<Instant>,
}

impl Orphan {
    /// Finds the process that the folder's records name. Its number alone is no proof: it may be another's by now.
    pub(crate) fn find(events: &EventLoop, folder: &ProcessDir) -> Result<Self> {
        let raw = folder.pid()?.ok_or(Error::NothingToAdopt)?;
        let pid = Pid::from_raw(raw).ok_or(Error::NothingToAdopt)?;
        let start_time = folder.start_time()?.ok_or(Error::NoStartTime { pid: raw })?;
        let pidfd = open(pid, start_time)?;
        if let Some(pidfd) = &pidfd {
            events
                .add(pidfd, Source::Process, EventFlags::IN)
                .map_err(Error::setup("watching the process"))?;
        }
        Ok(Self { pid, start_time, pidfd, reaped_by: None })
    }

    /// Looks at it in `/proc`; nothing when it is not there any more.
    pub(super) fn inspect<T>(&self, look: impl FnOnce(Pid) -> T) -> Option<T> {
        let seen = look(self.pid);
        // If it still is the one, it was so all the time.
        (self.pidfd.is_some() && is_the_one(self.pid, self.start_time)).then_some(seen)
    }

    /// The descriptor of the process, if it was still there.
    pub(crate) fn pidfd(&self) -> Option<&OwnedFd> {
        self.pidfd.as_ref()
    }

    /// When its new parent has had time enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.reaped_by
    }

    /// Whether it has ended, and how.
    pub(super) fn look(&mut self, events: &EventLoop) -> Option<Ended> {
        let Some(pidfd) = &self.pidfd else {
            let remark = "the process had ended, and was reaped, before this shim came";
            return Some(Ended { status: None, remark: Some(remark), used: Usage::default() });
        };
        let state = state(pidfd);
        if state.is_empty() {
            return None;
        }
        // Before Linux 6.9 the hang-up never comes, but the kernels of that age could not tell the status anyway.
        let is_reaped = state.contains(PollFlags::HUP);
        let until = *self.reaped_by.get_or_insert_with(|| {
            // It stays readable; the hang-up is reported unasked.
            let _ = events.change(pidfd, Source::Process, EventFlags::empty());
            Instant::now() + REAP_LIMIT
        });
        let status = pidfd::exit_status(pidfd.as_fd()).map(ExitStatus::from_wait_status);
        if status.is_none() && !is_reaped && Instant::now() < until {
            return None;
        }
        events.remove(pidfd);
        let remark = match (status, is_reaped) {
            (Some(_), _) => None,
            (None, true) => {
                Some("the kernel cannot tell how a process ended that is no child (before Linux 6.15)")
            }
            (None, false) => Some("nobody has reaped the process, so the kernel does not tell how it ended"),
        };
        Some(Ended { status: Some(status.unwrap_or(ExitStatus::UNKNOWN)), remark, used: Usage::default() })
    }
}

/// A descriptor of the process, alive or waiting to be reaped; nothing if it is gone.
fn open(pid: Pid, start_time: u64) -> Result<Option<OwnedFd>> {
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(source) => return Err(Error::Setup { step: "pidfd_open", source }),
    };
    // The descriptor was opened first: if the start time is right now, it is of that process.
    Ok(is_the_one(pid, start_time).then_some(pidfd))
}

fn is_the_one(pid: Pid, start_time: u64) -> bool {
    ProcStat::of(pid.as_raw_pid()).is_some_and(|stat| stat.start_time == start_time)
}

/// `IN` since it has ended, `HUP` since it has been reaped.
fn state(pidfd: &OwnedFd) -> PollFlags {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut asked = [PollFd::new(pidfd, PollFlags::IN)];
    match poll(&mut asked, Some(&now)) {
        Ok(_) => asked.iter().fold(PollFlags::empty(), |all, fd| all | fd.revents()),
        Err(_) => PollFlags::empty(),
    }
}

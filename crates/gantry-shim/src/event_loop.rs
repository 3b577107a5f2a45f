//! The one place where the shim waits: epoll over everything that can happen.
//!
//! Handlers do not get told what exactly happened to a descriptor, only that something did; they try all that
//! they can do without blocking. A descriptor whose state would be reported again and again is registered
//! edge-triggered or taken out.

use crate::error::{Error, Result};
use crate::sys;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// What can wake the shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A child changed its state.
    Child,
    /// The process, which is no child, has ended or has been reaped.
    Process,
    /// The daemon wrote to `control`.
    Control,
    /// The runtime connects to the console socket or sends on it.
    Console,
    /// The terminal can be read or written.
    Terminal,
    /// The client wrote to the process's standard input.
    Input,
    /// The client made room in the process's standard output.
    Output,
    /// The process wrote to a stream that is logged.
    Log,
    /// Nobody has a FIFO of the process open for writing any more.
    Hangup,
    /// Somebody read or closed a watched FIFO.
    Watch,
    /// Something went away in the process's folder.
    Marker,
}

/// The sources that an event is there for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready(u32);

/// Epoll, and the signalfd that every shim needs in it.
pub(crate) struct EventLoop {
    epoll: OwnedFd,
    child_signals: OwnedFd,
}

impl Ready {
    /// As if everything had happened: to look at all of it once.
    pub(crate) fn all() -> Self {
        Self(u32::MAX)
    }

    /// Whether something happened at `source`.
    pub(crate) fn has(self, source: Source) -> bool {
        self.0 & (1 << source as u32) != 0
    }
}

impl EventLoop {
    /// Blocks all signals and starts listening to SIGCHLD. Must come before the first child.
    pub(crate) fn new() -> Result<Self> {
        sys::block_signals().map_err(Error::setup("blocking signals"))?;
        let child_signals = sys::child_signals().map_err(Error::setup("signalfd"))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Error::setup("epoll_create"))?;
        let events = Self { epoll, child_signals };
        events
            .add(&events.child_signals, Source::Child, EventFlags::IN)
            .map_err(Error::setup("epoll_ctl"))?;
        Ok(events)
    }

    /// Listens to a descriptor until it is closed or [`EventLoop::remove`]d.
    pub(crate) fn add(&self, fd: impl AsFd, source: Source, flags: EventFlags) -> Result<(), Errno> {
        epoll::add(&self.epoll, fd, EventData::new_u64(source as u64), flags)
    }

    /// Changes what is listened to at a descriptor that was [`EventLoop::add`]ed. Unlike that, it needs no memory.
    pub(crate) fn change(&self, fd: impl AsFd, source: Source, flags: EventFlags) -> Result<(), Errno> {
        epoll::modify(&self.epoll, fd, EventData::new_u64(source as u64), flags)
    }

    /// Stops listening to a descriptor.
    pub(crate) fn remove(&self, fd: impl AsFd) {
        // The only failure is that it was not registered.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Waits until something happens or the deadline has passed.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Result<Ready> {
        let mut buffer = [MaybeUninit::<epoll::Event>::uninit(); 8];
        loop {
            let timeout = deadline.map(|at| timespec(at.saturating_duration_since(Instant::now())));
            let events = match epoll::wait(&self.epoll, &mut buffer, timeout.as_ref()) {
                Ok((events, _)) => events,
                // Only after SIGSTOP and SIGCONT.
                Err(Errno::INTR) => continue,
                Err(source) => return Err(Error::Setup { step: "epoll_wait", source }),
            };
            let bits = events.iter().fold(0, |bits, event| bits | 1_u32 << (event.data.u64() & 31));
            let ready = Ready(bits);
            if ready.has(Source::Child) {
                self.forget_child_signals();
            }
            return Ok(ready);
        }
    }

    /// One SIGCHLD can stand for many children (signal(7)), so its content says nothing.
    fn forget_child_signals(&self) {
        let mut content = [0_u8; 4 * size_of::<libc::signalfd_siginfo>()];
        while rustix::io::read(&self.child_signals, &mut content).is_ok_and(|n| n == content.len()) {}
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

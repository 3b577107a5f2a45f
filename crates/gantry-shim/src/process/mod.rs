//! The process that the shim stands beside, and learning how it ended.

mod orphan;

pub(crate) use orphan::Orphan;

use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Ready, Source};
use crate::reaper;
use gantry_record::{ExitStatus, Usage};
use rustix::process::Pid;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// One process, whoever its parent is.
pub(crate) enum Process {
    /// A child, since the shim had it made.
    Child(Pid),
    /// It was left behind by a shim that died.
    Orphan(Orphan),
    /// It has ended so, and the shim that had seen it died before all else was done.
    Over(ExitStatus),
}

/// That it has ended.
pub(crate) struct Ended {
    /// How. `None` when it was over before this shim came: whoever has watched it for longer may know more.
    pub(crate) status: Option<ExitStatus>,
    /// Why no more is known, for the log.
    pub(crate) remark: Option<&'static str>,
    /// What it, without the others in its container, had used, if it was a child.
    pub(crate) used: Usage,
}

impl Process {
    /// Stands beside `pid`, which must be a child that nobody has reaped yet.
    pub(crate) fn child(pid: Pid) -> Result<Self> {
        reaper::check_child(pid).map_err(|source| Error::NotOurs { pid: pid.as_raw_pid(), source })?;
        Ok(Self::Child(pid))
    }

    /// Looks, after something has happened or [`Process::deadline`] has passed, whether it has ended. Whatever else has
    /// ended below the shim is reaped.
    pub(crate) fn look(&mut self, events: &EventLoop, ready: Ready) -> Option<Ended> {
        match self {
            Self::Child(main) if ready.has(Source::Child) => {
                let (status, used) = reaper::reap(Some(*main))?;
                Some(Ended { status: Some(status), remark: None, used })
            }
            Self::Child(_) => None,
            Self::Orphan(orphan) => {
                if ready.has(Source::Child) {
                    reaper::reap(None);
                }
                orphan.look(events)
            }
            Self::Over(status) => Some(Ended { status: Some(*status), remark: None, used: Usage::default() }),
        }
    }

    /// Looks at it in `/proc`; nothing when it is not there any more.
    pub(crate) fn inspect<T>(&self, look: impl FnOnce(Pid) -> T) -> Option<T> {
        match self {
            // Nobody but the shim can reap it.
            Self::Child(pid) => Some(look(*pid)),
            Self::Orphan(orphan) => orphan.inspect(look),
            Self::Over(_) => None,
        }
    }

    /// Its descriptor, if it was left behind and was still there.
    pub(crate) fn pidfd(&self) -> Option<&OwnedFd> {
        match self {
            Self::Orphan(orphan) => orphan.pidfd(),
            Self::Child(_) | Self::Over(_) => None,
        }
    }

    /// When to look even if nothing happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Child(_) | Self::Over(_) => None,
            Self::Orphan(orphan) => orphan.deadline(),
        }
    }
}

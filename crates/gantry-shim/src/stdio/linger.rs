//! What was written last is not lost: closing a FIFO's last descriptor throws its content away (pipe(7)), so
//! the shim stays until a reader has taken it, for a limited time.

use super::open::{path_of, reopen};
use super::writers::drain;
use crate::event_loop::{EventLoop, Ready, Source};
use rustix::event::epoll::EventFlags;
use rustix::fs::inotify::{self, WatchFlags};
use rustix::fs::{OFlags, fstat};
use std::os::fd::OwnedFd;

/// FIFOs with unread content.
pub(crate) struct Unread {
    fifos: Vec<Fifo>,
    accesses: Option<OwnedFd>,
}

struct Fifo {
    keep: OwnedFd,
    /// A client that comes now would block in open(2) without a writer. Closed together with the other end once
    /// all is taken, which gives that client its end of file.
    _writer: Option<OwnedFd>,
}

impl Unread {
    /// Keeps those of the read ends that have something for a client that can still come.
    pub(crate) fn new(events: &EventLoop, read_ends: Vec<OwnedFd>) -> Self {
        let mut unread = Self { fifos: Vec::new(), accesses: None };
        for keep in read_ends.into_iter().filter(has_unread) {
            let writer = reopen(&keep, OFlags::WRONLY).ok();
            unread.fifos.push(Fifo { keep, _writer: writer });
        }
        if !unread.fifos.is_empty() {
            unread.accesses = unread.watch(events);
        }
        // A reader may have been quicker than the watch.
        unread.forget_taken();
        unread
    }

    fn watch(&self, events: &EventLoop) -> Option<OwnedFd> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let accesses = inotify::init(flags).ok()?;
        // ATTRIB and DELETE_SELF: the name may go away (unlink(2) changes the link count).
        let what = WatchFlags::ACCESS | WatchFlags::CLOSE | WatchFlags::ATTRIB | WatchFlags::DELETE_SELF;
        for fifo in &self.fifos {
            inotify::add_watch(&accesses, path_of(&fifo.keep), what).ok()?;
        }
        events.add(&accesses, Source::Watch, EventFlags::IN).ok()?;
        Some(accesses)
    }

    /// Looks again after something has happened; whether all is taken.
    pub(crate) fn is_taken(&mut self, ready: Ready) -> bool {
        if ready.has(Source::Watch)
            && let Some(accesses) = &self.accesses
        {
            drain(accesses);
        }
        self.forget_taken();
        self.fifos.is_empty()
    }

    fn forget_taken(&mut self) {
        self.fifos.retain(|fifo| has_unread(&fifo.keep));
    }
}

/// Whether there is something in the FIFO and a name by which somebody can come for it. Those who have it open
/// already need no help: their own descriptor keeps the content.
fn has_unread(fifo: &OwnedFd) -> bool {
    rustix::io::ioctl_fionread(fifo).is_ok_and(|bytes| bytes > 0)
        && fstat(fifo).is_ok_and(|stat| stat.st_nlink > 0)
}

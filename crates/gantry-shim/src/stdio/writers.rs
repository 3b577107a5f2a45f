//! Learning that nobody writes to an output any more, after the process itself has ended.
//!
//! What it started may share its output, and the exit is reported only when that is over too, since only then
//! the client has it all. The obvious sign is the FIFO's hang-up: no writer is left. But clients (ctr of 0.2)
//! open their FIFOs read-write and so are writers for ever. Therefore the shim asks a second question: is the
//! file description that the process inherited still open anywhere? An epoll of its own answers it: a
//! description leaves every epoll when its last descriptor is closed (epoll(7)), and `/proc/self/fdinfo` lists
//! what is left in it.

use super::open::{Output, path_of};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Ready, Source};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::inotify::{self, WatchFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// The kernel tells inotify of a close just before it takes the description out of epoll; so a look that still
/// finds it is repeated after 1, 2, 4, ... ms, this many times.
const SECOND_LOOKS: u32 = 9;

/// Waiting for all writers of up to two outputs.
pub(crate) struct Writers {
    /// Read ends that still wait for their hang-up.
    waiting: Vec<OwnedFd>,
    /// Read ends that are through; they keep the content.
    through: Vec<OwnedFd>,
    descriptions: OwnedFd,
    /// Whether all descriptions that were handed out are in there.
    knows_all: bool,
    /// Only there once it has turned out that somebody else writes: closing an inotify takes milliseconds,
    /// since the kernel waits for a grace period.
    closes: Option<OwnedFd>,
    looks: u32,
    look_again: Option<Instant>,
}

impl Writers {
    /// Lets go of the shim's own write ends; what is no FIFO needs no waiting.
    pub(crate) fn new(outputs: [Output; 2]) -> Result<Self> {
        let descriptions =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Error::setup("epoll_create"))?;
        let mut waiting = Vec::with_capacity(2);
        let mut knows_all = true;
        for output in outputs {
            let (Some(keep), Some(write)) = (output.keep, output.write) else { continue };
            knows_all &= output.is_the_process_own;
            // No event is asked for: a write end reports an error without readers, but the shim is one.
            epoll::add(&descriptions, &write, EventData::new_u64(0), EventFlags::empty())
                .map_err(Error::setup("epoll_ctl"))?;
            waiting.push(keep);
        }
        let through = Vec::with_capacity(2);
        Ok(Self { waiting, through, descriptions, knows_all, closes: None, looks: 0, look_again: None })
    }

    /// Whether nobody writes any more. If somebody does, [`Writers::are_gone`] is to be asked after each event.
    pub(crate) fn are_gone_already(&mut self, events: &EventLoop) -> Result<bool> {
        if self.waiting.is_empty() || self.no_description_is_left() {
            return Ok(true);
        }
        self.listen(events).map_err(Error::setup("watching an output"))?;
        // The last one may have gone before there was a watch.
        Ok(self.no_description_is_left())
    }

    fn listen(&mut self, events: &EventLoop) -> Result<(), Errno> {
        let closes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        for fifo in &self.waiting {
            inotify::add_watch(&closes, path_of(fifo), WatchFlags::CLOSE_WRITE)?;
            events.add(fifo, Source::Hangup, EventFlags::empty())?;
        }
        events.add(&closes, Source::Watch, EventFlags::IN)?;
        self.closes = Some(closes);
        Ok(())
    }

    /// Looks again after something has happened; whether nobody writes any more.
    pub(crate) fn are_gone(&mut self, events: &EventLoop, ready: Ready) -> bool {
        if ready.has(Source::Hangup) {
            self.take_hung_up(events);
        }
        if ready.has(Source::Watch)
            && let Some(closes) = &self.closes
        {
            drain(closes);
            self.looks = SECOND_LOOKS;
        }
        if self.waiting.is_empty() || self.no_description_is_left() {
            return true;
        }
        self.look_again = (self.looks > 0).then(|| {
            let pause = Duration::from_millis(1 << (SECOND_LOOKS - self.looks));
            self.looks -= 1;
            Instant::now() + pause
        });
        false
    }

    /// Whether a client that is a writer too can be told from those that matter.
    pub(crate) fn can_tell(&self) -> bool {
        self.knows_all
    }

    /// When to look again even if nothing happens.
    pub(crate) fn look_again(&self) -> Option<Instant> {
        self.look_again
    }

    /// Takes everything out of the event loop: nobody would empty it any more. Closing it is left for later.
    pub(crate) fn stop_listening(&self, events: &EventLoop) {
        for fd in self.waiting.iter().chain(&self.closes) {
            events.remove(fd);
        }
    }

    /// The read ends, for what may still be unread.
    pub(crate) fn into_read_ends(self) -> Vec<OwnedFd> {
        self.waiting.into_iter().chain(self.through).collect()
    }

    /// A hang-up is reported again and again, so what has hung up is taken out.
    fn take_hung_up(&mut self, events: &EventLoop) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut index = 0;
        while let Some(fifo) = self.waiting.get(index) {
            let mut state = [PollFd::new(fifo, PollFlags::empty())];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            let answered = poll(&mut state, Some(&now)).is_ok();
            if answered && state.iter().any(|fd| fd.revents().contains(PollFlags::HUP)) {
                events.remove(fifo);
                self.through.push(self.waiting.swap_remove(index));
            } else {
                index += 1;
            }
        }
    }

    /// Whether every description that was handed out is closed. Unknown counts as no.
    fn no_description_is_left(&self) -> bool {
        if !self.knows_all {
            return false;
        }
        let mut content = [0_u8; 1024];
        let path = format!("/proc/self/fdinfo/{}", self.descriptions.as_raw_fd());
        let read = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .and_then(|file| rustix::io::read(file, &mut content));
        let Some(content) = read.ok().and_then(|count| content.get(..count)) else { return false };
        !content.is_empty() && !content.windows(4).any(|word| word == b"tfd:")
    }
}

/// Empties an inotify queue; what is in it is not of interest.
pub(crate) fn drain(inotify: &OwnedFd) {
    let mut content = [0_u8; 1024];
    while rustix::io::read(inotify, &mut content).is_ok_and(|count| count > 0) {}
}

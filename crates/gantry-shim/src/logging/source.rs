//! The FIFO that a logged stream of the process ends in.
//!
//! Its content is looked at by way of a second pipe (tee(2)) and taken out only when it is in the log, so that a shim
//! may be killed at any moment, and so that the beginning of a line can wait where no death can reach it.

use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Source as Event};
use gantry_record::container_log::Stream;
use gantry_record::fifo;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, tee};
use std::os::fd::OwnedFd;
use std::path::Path;

/// A stream's FIFO.
pub(super) struct Source {
    pub(super) stream: Stream,
    fifo: OwnedFd,
    /// Only to be asked whether the FIFO takes more.
    writer: Option<OwnedFd>,
}

/// The second pipe; empty between any two looks.
pub(super) struct Glass {
    read: OwnedFd,
    write: OwnedFd,
}

impl Source {
    /// Opens a FIFO of the process's folder.
    pub(super) fn open(events: &EventLoop, stream: Stream, name: &str) -> Result<Self> {
        let fifo = fifo::open(Path::new(name), OFlags::RDONLY)?;
        let writer = fifo::open(Path::new(name), OFlags::WRONLY)?;
        // Edge-triggered: what waits for the rest of its line must not be reported for ever. Every write is an edge, to a
        // FIFO that is not empty too (epoll(7); not so in Linux 5.5 to 5.13, a regression mended in their stable
        // lines).
        events.add(&fifo, Event::Log, EventFlags::IN | EventFlags::ET).map_err(Error::setup("epoll_ctl"))?;
        Ok(Self { stream, fifo, writer: Some(writer) })
    }

    /// Gives up the write end, where others wait for the FIFO's hang-up.
    pub(super) fn close_writer(&mut self) {
        self.writer = None;
    }

    /// Looks at as much of the content as `buffer` has room for; what was in there before is forgotten.
    pub(super) fn look(&self, glass: &Glass, buffer: &mut Vec<u8>) {
        buffer.clear();
        let seen = tee(&self.fifo, &glass.write, buffer.capacity(), SpliceFlags::NONBLOCK).unwrap_or(0);
        // All of it: the glass must be empty the next time.
        while buffer.len() < seen && !matches!(read(&glass.read, spare_capacity(buffer)), Ok(0) | Err(_)) {}
    }

    /// Whether there is more than could be seen.
    pub(super) fn has_unseen(&self, seen: usize) -> bool {
        rustix::io::ioctl_fionread(&self.fifo).is_ok_and(|unread| unread > seen as u64)
    }

    /// Whether the FIFO takes no more.
    pub(super) fn is_full(&self) -> bool {
        self.writer.as_ref().is_some_and(is_full)
    }

    /// Takes out as much as `buffer` holds, which is just that once more.
    pub(super) fn take(&self, buffer: &mut [u8]) {
        let mut taken = 0;
        // In pieces, since a FIFO may have packets in it (`O_DIRECT`, pipe(2)).
        while let Some(room) = buffer.get_mut(taken..).filter(|room| !room.is_empty()) {
            match read(&self.fifo, room) {
                Ok(0) => break,
                Ok(count) => taken += count,
                Err(Errno::INTR) => {}
                // Somebody else has opened the FIFO and was quicker.
                Err(_) => break,
            }
        }
    }
}

impl Glass {
    /// One of the usual size.
    pub(super) fn new() -> Result<Self> {
        let (read, write) =
            pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(Error::setup("pipe"))?;
        Ok(Self { read, write })
    }

    /// Gives it as many slots as the FIFO has; whether that makes more visible.
    pub(super) fn widen(&self, source: &Source) -> bool {
        let (Ok(mine), Ok(theirs)) = (fcntl_getpipe_size(&self.write), fcntl_getpipe_size(&source.fifo))
        else {
            return false;
        };
        theirs > mine && fcntl_setpipe_size(&self.write, theirs).is_ok()
    }
}

fn is_full(writer: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut [PollFd::new(writer, PollFlags::OUT)], Some(&now)), Ok(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::Mode;
    use rustix::io::write;

    struct Fixture {
        _folder: tempfile::TempDir,
        _events: EventLoop,
        source: Source,
        glass: Glass,
        writer: OwnedFd,
    }

    fn fixture(flags: OFlags) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        fifo::make(&path, Mode::RUSR | Mode::WUSR).unwrap();
        let events = EventLoop::new().unwrap();
        let source = Source::open(&events, Stream::Stdout, path.to_str().unwrap()).unwrap();
        let writer = fifo::open(&path, OFlags::WRONLY).unwrap();
        rustix::fs::fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
        Fixture { _folder: folder, _events: events, source, glass: Glass::new().unwrap(), writer }
    }

    #[test]
    fn looking_takes_nothing_and_taking_takes_what_was_seen() {
        let Fixture { source, glass, writer, .. } = &fixture(OFlags::empty());
        let mut buffer = Vec::with_capacity(100);
        write(writer, b"one\ntwo").unwrap();
        for _ in 0..3 {
            source.look(glass, &mut buffer);
            assert_eq!(buffer, b"one\ntwo");
        }
        source.take(&mut buffer[..4]);
        write(writer, b"!").unwrap();
        source.look(glass, &mut buffer);
        assert_eq!(buffer, b"two!");
        source.take(&mut buffer);
        source.look(glass, &mut buffer);
        assert_eq!(buffer, b"");
    }

    #[test]
    fn packets_are_looked_through() {
        let Fixture { source, glass, writer, .. } = &fixture(OFlags::DIRECT);
        let mut buffer = Vec::with_capacity(100);
        for packet in [&b"a"[..], b"bc", b"def\n"] {
            write(writer, packet).unwrap();
        }
        source.look(glass, &mut buffer);
        assert_eq!(buffer, b"abcdef\n");
        source.take(&mut buffer);
        assert!(!source.has_unseen(0));
    }

    #[test]
    fn a_fifo_with_more_slots_needs_a_wider_glass() {
        let Fixture { source, glass, writer, .. } = &fixture(OFlags::DIRECT);
        let mut buffer = Vec::with_capacity(100);
        fcntl_setpipe_size(writer, 64 * 4096).unwrap();
        for _ in 0..40 {
            write(writer, b"x").unwrap();
        }
        source.look(glass, &mut buffer);
        assert!(buffer.len() < 40 && source.has_unseen(buffer.len()));
        assert!(glass.widen(source) && !glass.widen(source));
        source.look(glass, &mut buffer);
        assert_eq!(buffer.len(), 40);
        assert!(!source.has_unseen(40) && !source.is_full());
    }
}

//! Copying from one non-blocking descriptor to another through one buffer. No byte is dropped: while the sink
//! takes nothing, nothing is read.

use rustix::io::{Errno, read, write};
use std::os::fd::AsFd;

/// What one read of a terminal can give at most (N_TTY's buffer, `ioctl_tty(2)`).
const BUFFER_BYTES: usize = 4096;

/// How many times a pump reads before others have their turn.
const ROUNDS: u32 = 64;

/// Where a pump has got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The source has nothing now; its next event says when.
    Empty,
    /// The sink takes nothing now; its next event says when.
    Full,
    /// There is more to do, but others should have their turn first.
    More,
    /// The source has ended and all of it is written.
    Ended,
}

/// A buffer with bytes on their way.
pub(crate) struct Pump {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// The first error of the sink that cost bytes, not yet asked for.
    lost: Option<Errno>,
}

impl Pump {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; BUFFER_BYTES].into(), start: 0, end: 0, lost: None }
    }

    /// Copies as much as goes without blocking.
    pub(crate) fn run(&mut self, source: &impl AsFd, sink: &impl AsFd) -> Progress {
        for _ in 0..ROUNDS {
            if !self.flush(sink) {
                return Progress::Full;
            }
            match read(source, &mut *self.buffer) {
                Err(Errno::AGAIN) => return Progress::Empty,
                Err(Errno::INTR) => {}
                // A terminal's master gives EIO when no slave is open.
                Ok(0) | Err(_) => return Progress::Ended,
                Ok(count) => (self.start, self.end) = (0, count),
            }
        }
        Progress::More
    }

    /// Reads and throws away: for a source whose client wants nothing.
    pub(crate) fn discard(&mut self, source: &impl AsFd) -> Progress {
        for _ in 0..ROUNDS {
            match read(source, &mut *self.buffer) {
                Err(Errno::AGAIN) => return Progress::Empty,
                Err(Errno::INTR) => {}
                Ok(0) | Err(_) => return Progress::Ended,
                Ok(_) => {}
            }
        }
        Progress::More
    }

    /// An error of the sink that cost bytes, once.
    pub(crate) fn take_loss(&mut self) -> Option<Errno> {
        self.lost.take()
    }

    fn flush(&mut self, sink: &impl AsFd) -> bool {
        while let Some(rest) = self.buffer.get(self.start..self.end).filter(|rest| !rest.is_empty()) {
            match write(sink, rest) {
                // A terminal with a full input queue writes nothing rather than failing.
                Ok(0) | Err(Errno::AGAIN) => return false,
                Err(Errno::INTR) => {}
                Ok(count) => self.start += count,
                // A log on a full disk, say. Stopping would block the process for ever; what comes later may
                // find room again.
                Err(error) => {
                    self.lost = Some(error);
                    self.start = self.end;
                }
            }
        }
        true
    }
}

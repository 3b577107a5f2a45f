//! Copying from one non-blocking descriptor to another. No byte is dropped: while the sink takes nothing, nothing is
//! read.
//!
//! Into a FIFO the kernel itself moves the bytes where it can (splice(2)), so that not even a SIGKILL between reading
//! and writing costs one. It puts each piece into a slot of its own, though, of which a FIFO has few, while writes fill
//! the slots up: a client that does not read would find sixteen lines instead of 64 KiB. So a FIFO gets more slots, and
//! when nobody has read for many pieces and a quarter of a second, bytes are read and written, but only when there is
//! surely room for the write.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, ioctl_fionread, read, write};
use rustix::pipe::{SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, splice};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// What one read of a terminal can give at most (N_TTY's buffer, `ioctl_tty(2)`), and what goes into a FIFO in one piece
/// or not at all (`PIPE_BUF`, pipe(7)).
const BUFFER_BYTES: usize = 4096;

/// How many times a pump reads before others have their turn.
const ROUNDS: u32 = 64;

/// The size that is asked for a FIFO which is spliced into: one slot for each page.
const FIFO_BYTES: usize = 64 * 4096;

/// How many pieces are spliced before it is looked whether anybody reads; the usual 16 slots are left to writes.
const SPLICES: u32 = 48;

/// Then copying pauses for 1, 2, 4, ... ms, this many times, before the client is taken for absent.
const PAUSES: u32 = 8;

/// Where a pump has got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The source has nothing now; its next event says when.
    Empty,
    /// The sink takes nothing now; its next event says when.
    Full,
    /// There is more to do, but others should have their turn first.
    More,
    /// There may be more to do, but the client should have its turn first, until then.
    Pause(Instant),
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
    /// For a sink that is a FIFO.
    fifo: Option<Fifo>,
}

/// How much a FIFO may have in it if nobody has read since.
struct Fifo {
    splices: bool,
    pieces: u32,
    bytes: u64,
    pauses: u32,
    paused_until: Option<Instant>,
}

/// How to go on with a FIFO.
enum Turn {
    Splice,
    Write,
    Pause(Instant),
}

impl Pump {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; BUFFER_BYTES].into(), start: 0, end: 0, lost: None, fifo: None }
    }

    /// An empty one from a terminal into this sink.
    pub(crate) fn into_sink(sink: Option<&impl AsFd>) -> Self {
        Self { fifo: sink.and_then(Fifo::prepare), ..Self::new() }
    }

    /// Whether no byte is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Copies as much as goes without blocking.
    pub(crate) fn run(&mut self, source: &impl AsFd, sink: &impl AsFd) -> Progress {
        for _ in 0..ROUNDS {
            if !self.flush(sink) {
                return Progress::Full;
            }
            let mut moved = None;
            if let Some(fifo) = &mut self.fifo {
                match fifo.turn(sink) {
                    Turn::Splice => moved = fifo.splice(source, sink),
                    Turn::Write if is_full(sink) => return Progress::Full,
                    Turn::Write => {}
                    Turn::Pause(until) => return Progress::Pause(until),
                }
            }
            let count = moved.unwrap_or_else(|| {
                let count = read(source, &mut *self.buffer)?;
                (self.start, self.end) = (0, count);
                Ok(count)
            });
            match count {
                Err(Errno::AGAIN) if self.fifo.is_some() && is_full(sink) => return Progress::Full,
                Err(Errno::AGAIN) => return Progress::Empty,
                Err(Errno::INTR) => {}
                // A terminal's master gives EIO when no slave is open.
                Ok(0) | Err(_) => return Progress::Ended,
                Ok(count) => {
                    if let Some(fifo) = &mut self.fifo {
                        fifo.bytes += count as u64;
                    }
                }
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

impl Fifo {
    fn prepare(sink: &impl AsFd) -> Option<Self> {
        FileType::from_raw_mode(fstat(sink).ok()?.st_mode).is_fifo().then(|| Self {
            splices: fcntl_getpipe_size(sink).is_ok_and(|bytes| bytes >= FIFO_BYTES)
                || fcntl_setpipe_size(sink, FIFO_BYTES).is_ok(),
            pieces: 0,
            bytes: ioctl_fionread(sink).unwrap_or(0),
            pauses: 0,
            paused_until: None,
        })
    }

    fn turn(&mut self, sink: &impl AsFd) -> Turn {
        if !self.splices {
            return Turn::Write;
        }
        if self.pieces < SPLICES {
            return Turn::Splice;
        }
        let unread = ioctl_fionread(sink).unwrap_or(u64::MAX);
        if unread < self.bytes {
            *self = Self { splices: true, pieces: 0, bytes: unread, pauses: 0, paused_until: None };
            return Turn::Splice;
        }
        let now = Instant::now();
        match self.paused_until.filter(|until| *until > now) {
            Some(until) => Turn::Pause(until),
            None if self.pauses == PAUSES => Turn::Write,
            None => {
                let until = now + Duration::from_millis(1 << self.pauses);
                self.pauses += 1;
                self.paused_until = Some(until);
                Turn::Pause(until)
            }
        }
    }

    /// Moves one piece; nothing where the kernel cannot.
    fn splice(&mut self, source: &impl AsFd, sink: &impl AsFd) -> Option<Result<usize, Errno>> {
        match splice(source, None, sink, None, BUFFER_BYTES, SpliceFlags::NONBLOCK) {
            // Linux 5.10 has no splice from terminals.
            Err(Errno::INVAL | Errno::NOSYS) => {
                self.splices = false;
                None
            }
            moved => {
                self.pieces += u32::from(moved.is_ok());
                Some(moved)
            }
        }
    }
}

fn is_full(sink: &impl AsFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut [PollFd::new(sink, PollFlags::OUT)], Some(&now)), Ok(0))
}

//! Standard streams with a terminal: the shim holds its master side and copies between it and the client's
//! standard input and output. A path for standard error is never touched: clients send one that does not exist.
//!
//! All descriptors are registered edge-triggered, and after any event both directions are tried until they
//! would block. So a terminal that is hung up, or a client that does not read, costs no wake-up.

use super::open::{self, How, Input, Output};
use super::pump::{Progress, Pump};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Ready, Source};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::termios::{Winsize, tcsetwinsize};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Columns.
    pub(crate) width: u16,
    /// Rows.
    pub(crate) height: u16,
}

/// The client's ends, before there is a terminal.
#[derive(Default)]
pub(crate) struct Client {
    stdin: Input,
    stdout: Output,
}

/// A terminal and its client.
pub(crate) struct Terminal {
    master: Option<OwnedFd>,
    stdin: Input,
    stdout: Output,
    to_client: Pump,
    to_process: Pump,
    output: Progress,
    input: Progress,
    /// Since when the client takes nothing.
    full_since: Option<Instant>,
}

impl Client {
    /// Opens them.
    pub(crate) fn open(stdin: &Path, stdout: &Path, how: How) -> Result<Self> {
        Ok(Self { stdin: open::input(stdin, how)?, stdout: open::output(stdout, how)? })
    }
}

impl Terminal {
    /// Connects a terminal with its client. Copying begins with the first [`Terminal::copy`], which must not
    /// be before the process has opened its side: the kernel refuses input for a terminal without one.
    pub(crate) fn new(events: &EventLoop, master: OwnedFd, client: Client) -> Result<Self> {
        let Client { stdin, stdout } = client;
        let failed = || Error::setup("preparing the terminal");
        let flags = rustix::fs::fcntl_getfl(&master).map_err(failed())?;
        rustix::fs::fcntl_setfl(&master, flags | rustix::fs::OFlags::NONBLOCK).map_err(failed())?;
        let edges = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        events.add(&master, Source::Terminal, edges).map_err(failed())?;
        listen(events, stdin.read.as_ref(), Source::Input, EventFlags::IN).map_err(failed())?;
        listen(events, stdout.write.as_ref(), Source::Output, EventFlags::OUT).map_err(failed())?;
        Ok(Self {
            master: Some(master),
            to_client: Pump::into_sink(stdout.write.as_ref()),
            stdin,
            stdout,
            to_process: Pump::new(),
            output: Progress::More,
            input: Progress::More,
            full_since: None,
        })
    }

    /// When copying can go on without waiting for an event.
    pub(crate) fn again_at(&self) -> Option<Instant> {
        match (self.output, self.input) {
            (Progress::More, _) | (_, Progress::More) => Some(Instant::now()),
            (Progress::Pause(until), _) => Some(until),
            _ => None,
        }
    }

    /// Copies what can be copied if something has happened.
    pub(crate) fn copy_if(&mut self, ready: Ready) {
        let touched = [Source::Terminal, Source::Input, Source::Output].iter().any(|s| ready.has(*s));
        if touched || self.again_at().is_some_and(|at| at <= Instant::now()) {
            self.copy();
        }
    }

    /// Copies what can be copied.
    pub(crate) fn copy(&mut self) {
        let Some(master) = &self.master else { return };
        self.input = match &self.stdin.read {
            Some(client) => self.to_process.run(client, master),
            None => Progress::Empty,
        };
        if self.input == Progress::Ended {
            // It would be readable for ever. The terminal is not told: Ctrl-D is the user's business.
            self.stdin = Input::default();
            self.input = Progress::Empty;
        }
        self.output = match &self.stdout.write {
            Some(client) => self.to_client.run(master, client),
            None => self.to_client.discard(master),
        };
        self.full_since = match self.output {
            Progress::Full => self.full_since.or_else(|| Some(Instant::now())),
            _ => None,
        };
    }

    /// Sets the size. A terminal that is gone has none.
    pub(crate) fn resize(&self, size: Size) {
        if let Some(master) = &self.master {
            let size = Winsize { ws_col: size.width, ws_row: size.height, ws_xpixel: 0, ws_ypixel: 0 };
            let _ = tcsetwinsize(master, size);
        }
    }

    /// What `close stdin` means here: our write end of the client's FIFO goes; the terminal stays open.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin.closer = None;
    }

    /// Ends the input, once the process has ended.
    pub(crate) fn end_input(&mut self) {
        self.stdin = Input::default();
        self.input = Progress::Empty;
    }

    /// Whether all of the terminal's output is with the client. Only meaningful once the process has ended:
    /// before, a terminal that nobody has open may be opened again.
    pub(crate) fn is_drained(&self) -> bool {
        self.output == Progress::Ended
    }

    /// Whether no byte is on its way in either direction.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.to_client.is_empty() && self.to_process.is_empty()
    }

    /// Since when the client takes nothing.
    pub(crate) fn full_since(&self) -> Option<Instant> {
        self.full_since
    }

    /// An error of the client's file that cost output, once.
    pub(crate) fn take_loss(&mut self) -> Option<Errno> {
        self.to_client.take_loss()
    }

    /// Whether output is known to be still on its way to the client.
    pub(crate) fn has_output(&self) -> bool {
        matches!(self.output, Progress::Full | Progress::More | Progress::Pause(_))
    }

    /// The standard output's read end, for what may still be unread; the terminal is closed.
    pub(crate) fn into_read_end(self) -> Option<OwnedFd> {
        self.stdout.keep
    }
}

/// What epoll refuses (EPERM: a plain file, `/dev/null`) never blocks and needs no event.
fn listen(events: &EventLoop, fd: Option<&OwnedFd>, source: Source, what: EventFlags) -> Result<(), Errno> {
    match fd.map_or(Ok(()), |fd| events.add(fd, source, what | EventFlags::ET)) {
        Err(Errno::PERM) => Ok(()),
        other => other,
    }
}

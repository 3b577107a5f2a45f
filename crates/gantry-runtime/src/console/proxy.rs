//! Copies between this command's terminal and that of the process which it runs in the foreground.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// The outer terminal in raw mode, and the inner terminal's master.
pub(crate) struct Proxy {
    master: OwnedFd,
    /// What the outer terminal was set to, if there is one.
    saved: Option<Termios>,
    input_open: bool,
    output_open: bool,
}

impl Proxy {
    /// Sets the outer terminal to raw mode, so that the inner one alone interprets what is typed.
    pub(crate) fn new(master: OwnedFd) -> Self {
        let mut saved = None;
        if isatty(stdin())
            && let Ok(settings) = tcgetattr(stdin())
        {
            let mut raw = settings.clone();
            raw.make_raw();
            if tcsetattr(stdin(), OptionalActions::Now, &raw).is_ok() {
                saved = Some(settings);
            }
        }
        let proxy = Self { master, saved, input_open: true, output_open: true };
        proxy.resize();
        proxy
    }

    /// Gives the inner terminal the outer one's size.
    pub(crate) fn resize(&self) {
        if let Ok(size) = tcgetwinsize(stdin()) {
            let _ = tcsetwinsize(&self.master, size);
        }
    }

    /// Waits until `other` can be read and copies meanwhile.
    pub(crate) fn copy_until_readable(&mut self, other: BorrowedFd<'_>) -> io::Result<()> {
        loop {
            let mut fds = vec![PollFd::new(&other, PollFlags::IN)];
            if self.output_open {
                fds.push(PollFd::new(&self.master, PollFlags::IN));
            }
            let input = stdin();
            if self.input_open {
                fds.push(PollFd::new(&input, PollFlags::IN));
            }
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => continue,
                result => result?,
            };
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            let (output, input) = match (self.output_open, self.input_open) {
                (true, true) => (ready[1], ready[2]),
                (true, false) => (ready[1], false),
                (false, true) => (false, ready[1]),
                (false, false) => (false, false),
            };
            if output {
                // EIO: the last process with the inner terminal has closed it.
                self.output_open = copy(self.master.as_fd(), stdout()).unwrap_or(false);
            }
            if input {
                self.input_open = copy(stdin(), self.master.as_fd()).unwrap_or(false);
            }
            if ready[0] {
                return Ok(());
            }
        }
    }

    /// Copies what the process wrote last.
    pub(crate) fn drain(&mut self) {
        while self.output_open {
            let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
            let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            if !matches!(poll(&mut fds, Some(&now)), Ok(1..)) {
                return;
            }
            self.output_open = copy(self.master.as_fd(), stdout()).unwrap_or(false);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(saved) = &self.saved {
            let _ = tcsetattr(stdin(), OptionalActions::Now, saved);
        }
    }
}

/// Copies what is there. Says whether there may be more.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    let count = rustix::io::read(from, &mut buffer)?;
    let mut rest = &buffer[..count];
    while !rest.is_empty() {
        let written = rustix::io::write(to, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(count > 0)
}

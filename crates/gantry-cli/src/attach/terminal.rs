//! The user's own terminal: its size, and raw mode while a container has it.

use std::io;
use std::panic;

use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use crate::bundle::spec::Size;
use crate::error::Error;

/// The terminal in raw mode; it gets its old mode back when this is dropped, and before a panic is reported.
#[derive(Debug)]
pub(crate) struct RawMode {
    before: Termios,
}

// === impl RawMode ===

impl RawMode {
    /// Every key goes to the container as a byte, Ctrl-C too.
    pub(crate) fn enter() -> Result<Self, Error> {
        let failed = |errno: rustix::io::Errno| Error::system("set up the terminal", io::Error::from(errno));
        let before = tcgetattr(stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        let for_panic = before.clone();
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore(&for_panic);
            report(info);
        }));
        // DRAIN and not FLUSH: what the user typed ahead is for the container.
        tcsetattr(stdin(), OptionalActions::Drain, &raw).map_err(failed)?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore(&self.before);
    }
}

fn restore(mode: &Termios) {
    let _ = tcsetattr(stdin(), OptionalActions::Drain, mode);
}

pub(crate) fn stdin_is_terminal() -> bool {
    isatty(stdin())
}

/// The size of the terminal that the output goes to, else of the one that the input comes from.
pub(crate) fn size() -> Option<Size> {
    let size = tcgetwinsize(stdout()).or_else(|_| tcgetwinsize(stdin())).ok()?;
    // A serial line, or a pty that nobody sized, says 0.
    (size.ws_col > 0 && size.ws_row > 0).then_some(Size { width: size.ws_col, height: size.ws_row })
}

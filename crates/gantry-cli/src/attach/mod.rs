//! Being attached to a process: its stdio, its terminal, its signals, and the status that it ends with.
//!
//! The order matters, and is kept by [`Attached`]: follow the events, make and open the FIFOs, catch signals, and only
//! then ask the daemon to start the process. So nothing that happens can be missed, and nobody waits for the other side.
//!
//! Stdio does not pass through the daemon. A daemon that is restarted only interrupts the events, which resume after the
//! last one seen.

pub(crate) mod control;
pub(crate) mod fifo;
pub(crate) mod pump;
mod session;
pub(crate) mod signals;
pub(crate) mod terminal;

use std::path::Path;

use crate::client::Client;
use crate::error::Error;
use crate::events::{Exit, Follower};
use crate::id::INIT;
use crate::when;
use control::Control;
pub(crate) use control::Target;
use fifo::{Fifos, Wanted};
use signals::Signals;

/// Which stdio an attached process has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stdio {
    /// Our stdin is its stdin.
    pub(crate) stdin: bool,
    /// It has a terminal; stderr is part of it.
    pub(crate) terminal: bool,
}

/// How an attached client ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The process has ended.
    Exited(Exit),
    /// The user wanted to go; the process runs on.
    Left { status: u8 },
    /// The terminal was closed, and the process did not end with it.
    TerminalGone,
}

/// Everything that must be there before the process is started.
#[derive(Debug)]
pub(crate) struct Attached {
    client: Client,
    target: Target,
    stdio: Stdio,
    follower: Follower,
    signals: Signals,
    fifos: Fifos,
    control: Control,
}

// === impl Stdio ===

impl Stdio {
    /// Whether our own terminal is the container's: only then it may be raw.
    fn raw(self) -> bool {
        self.stdin && self.terminal
    }

    /// Refuses what cannot work: keys for a terminal that are no keys.
    pub(crate) fn check(self) -> Result<(), Error> {
        if self.raw() && !terminal::stdin_is_terminal() {
            return Err(Error::usage(
                "-t with -i needs a terminal, and the input is none",
                "leave out -t to send a file or a pipe to the container",
            ));
        }
        Ok(())
    }
}

// === impl Attached ===

impl Attached {
    /// Gets ready; the FIFOs are made in `dir`.
    pub(crate) fn prepare(client: &Client, target: Target, dir: &Path, stdio: Stdio) -> Result<Self, Error> {
        let signals = Signals::catch()?;
        let follower = Follower::start(client, &target.container, when::now());
        let wanted = Wanted { stdin: stdio.stdin, stderr: !stdio.terminal };
        let fifos = Fifos::create(dir, &target.process, wanted)?;
        Ok(Self { client: client.clone(), target, stdio, follower, signals, fifos, control: Control::new() })
    }

    /// Stdin, stdout and stderr as the daemon takes them.
    pub(crate) fn paths(&self) -> [String; 3] {
        self.fifos.paths()
    }

    /// Starts the process by `start`, and stays with it until it has ended and all its output was copied.
    pub(crate) async fn run(self, start: impl Future<Output = Result<(), Error>>) -> Result<Ending, Error> {
        session::run(self, start).await
    }
}

// === impl Target ===

impl Target {
    fn is_init(&self) -> bool {
        self.process == INIT
    }
}

//! The signals that the daemon answers to. SIGPIPE is ignored, as in every Rust program: a log that nobody reads any
//! more, or a client that has gone, is no reason to end.

use crate::error::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals, caught.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To stop; with the signal's name.
    Stop(&'static str),
    /// To read the configuration again.
    Reload,
    /// To tell what the daemon is doing.
    Dump,
}

impl Signals {
    pub(crate) fn catch() -> Result<Self, Error> {
        let catch = |kind| signal(kind).map_err(Error::Signals);
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            hangup: catch(SignalKind::hangup())?,
            user1: catch(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Wish::Stop("SIGINT"),
            _ = self.hangup.recv() => Wish::Reload,
            _ = self.user1.recv() => Wish::Dump,
        }
    }
}

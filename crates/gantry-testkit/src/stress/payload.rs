//! What containers and execs run. How each ends is known beforehand.

use super::ledger::KILLED;
use crate::Random;

pub(super) const SIGTERM: u32 = 15;
pub(super) const SIGUSR1: u32 = 10;
pub(super) const SIGKILL: u32 = 9;

/// A command line and its end.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    pub(super) args: Vec<String>,
    /// What it ends with when nobody does anything to it; `None` when it runs until it is ended.
    pub(super) status: Option<u32>,
    /// What SIGTERM and SIGUSR1 make it end with once its traps are set; `None` when they do nothing.
    pub(super) traps: Option<(u32, u32)>,
    pub(super) terminal: bool,
    pub(super) streams: Streams,
    /// What it writes first.
    pub(super) greeting: String,
}

/// Where its output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streams {
    Null,
    Fifos,
    Log,
}

impl Payload {
    /// A container's init, as process 1 of its namespace: it is ended by signals only that it has a trap for.
    pub(super) fn init(random: &mut Random, id: &str) -> Self {
        let greeting = format!("hello from {id}");
        let pause = random.below(1_500_000);
        let status = own_status(random);
        let (script, status, traps) = match random.below(10) {
            0..=2 => (format!("usleep {pause}; exit {status}"), Some(status), None),
            3 => (format!("usleep {}; exit {status}", pause / 20), Some(status), None),
            4..=6 => {
                ("trap 'exit 3' TERM; trap 'exit 4' USR1; sleep 100000 & wait".to_owned(), None, Some((3, 4)))
            }
            7 => ("trap '' TERM USR1; sleep 100000 & wait".to_owned(), None, None),
            8 => ("exec sleep 100000".to_owned(), None, None),
            _ => {
                // What is left behind in a container belongs to its process 1, and ends with it.
                let orphan = "(sleep 100000 &) ; (usleep 300000 &) ; (sh -c 'sleep 0.2' &) ;";
                (format!("{orphan} usleep {pause}; exit {status}"), Some(status), None)
            }
        };
        let streams = match random.below(10) {
            0..=4 => Streams::Null,
            5..=7 => Streams::Fifos,
            _ => Streams::Log,
        };
        let terminal = streams != Streams::Log && random.chance(15);
        let script = format!("echo {greeting}; {script}");
        Self { args: shell(&script), status, traps, terminal, streams, greeting }
    }

    /// An exec: no process 1, so that any signal ends it.
    pub(super) fn exec(random: &mut Random) -> Self {
        let status = own_status(random);
        let (script, status) = match random.below(4) {
            0 => (format!("exit {status}"), Some(status)),
            1 | 2 => (format!("usleep {}; exit {status}", random.below(400_000)), Some(status)),
            _ => ("exec sleep 100000".to_owned(), None),
        };
        let terminal = random.chance(10);
        Self {
            args: shell(&script),
            status,
            traps: None,
            terminal,
            streams: Streams::Null,
            greeting: String::new(),
        }
    }

    /// What an init of this kind may end with when it is sent a signal; empty when it does nothing.
    pub(super) fn ends_by(&self, signal: u32) -> Option<u32> {
        match (signal, self.traps) {
            (SIGKILL, _) => Some(KILLED),
            (SIGTERM, Some((term, _))) => Some(term),
            (SIGUSR1, Some((_, usr1))) => Some(usr1),
            _ => None,
        }
    }
}

/// A status that tells a process from its neighbours, and from one that a signal ended.
fn own_status(random: &mut Random) -> u32 {
    u32::try_from(random.below(100)).expect("below a hundred") + 20
}

fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(ToOwned::to_owned).to_vec()
}

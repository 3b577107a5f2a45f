//! Processes of the host: who they are beyond their number, and signals that reach no other.
//!
//! A pid alone may have been given to somebody else. A pid with its start time (field 22 of `/proc/PID/stat`, in
//! ticks since boot) is unique; a pidfd holds on to the process that was meant.

use std::fs;
use std::io;

use rustix::process::{Pid, PidfdFlags};

use crate::signal::SignalNumber;

/// A process that was seen alive once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Its number.
    pub(crate) pid: Pid,
    /// When it started.
    pub(crate) start_time: u64,
}

/// What `/proc/PID/stat` says.
struct Stat {
    state: u8,
    start_time: u64,
}

impl Identity {
    /// The identity of a process that exists, be it a zombie.
    pub(crate) fn of(pid: Pid) -> io::Result<Self> {
        Ok(Self { pid, start_time: stat(pid)?.start_time })
    }

    /// Whether the process still runs. A zombie does not.
    pub(crate) fn is_alive(self) -> bool {
        stat(self.pid).is_ok_and(|now| now.start_time == self.start_time && !matches!(now.state, b'Z' | b'X'))
    }

    /// Sends a signal to exactly this process. Says whether the process was there.
    pub(crate) fn send(self, signal: SignalNumber) -> io::Result<bool> {
        let Ok(pidfd) = rustix::process::pidfd_open(self.pid, PidfdFlags::empty()) else {
            return Ok(false);
        };
        // The descriptor holds whoever has the number now; only then is it known that this is who was meant.
        if !self.is_alive() {
            return Ok(false);
        }
        let Some(signal) = signal.to_signal() else { return Ok(true) };
        match rustix::process::pidfd_send_signal(&pidfd, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn stat(pid: Pid) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unexpected form of stat"))
}

/// The name, in parentheses, may contain anything: fields are counted after its end.
fn parse(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = *fields.next()?.as_bytes().first()?;
    // The state is field 3, the start time field 22.
    Some(Stat { state, start_time: fields.nth(18)?.parse().ok()? })
}

/// See [`crate::fuzzing`].
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzzing(text: &str) -> Option<u64> {
    parse(text).map(|stat| stat.start_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9\n";
        let parsed = parse(stat).unwrap();
        assert_eq!((parsed.state, parsed.start_time), (b'S', 4711));
        assert!(parse("7 (x").is_none());
    }

    #[test]
    fn this_process_is_alive_and_another_of_its_number_is_not() {
        let me = Identity::of(rustix::process::getpid()).unwrap();
        assert!(me.is_alive());
        assert!(!Identity { start_time: me.start_time + 1, ..me }.is_alive());
        let probe = "0".parse().unwrap();
        assert!(me.send(probe).unwrap());
    }
}

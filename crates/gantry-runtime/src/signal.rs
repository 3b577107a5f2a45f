//! Signals by name or number, as `kill` takes them.

use std::num::NonZeroI32;
use std::str::FromStr;

use rustix::process::Signal;

use crate::error::Error;

/// Every name of signal(7) on Linux, without its `SIG`; the numbers are those of x86 and arm.
const NAMES: [(&str, i32); 36] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("IOT", libc::SIGIOT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("POLL", libc::SIGPOLL),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
    ("RTMIN", FIRST_REALTIME),
    ("RTMAX", LAST),
];

/// The C library keeps 32 and 33 for itself, so that programs know 34 as the first real-time signal.
const FIRST_REALTIME: i32 = 34;
/// The highest signal of Linux.
const LAST: i32 = 64;

/// The number of a signal that can be sent. Zero is the probe that sends nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SignalNumber(i32);

impl SignalNumber {
    /// SIGKILL.
    pub(crate) const KILL: Self = Self(libc::SIGKILL);

    /// The number.
    pub(crate) fn raw(self) -> i32 {
        self.0
    }

    /// The signal for a system call; nothing for zero, which only probes.
    pub(crate) fn to_signal(self) -> Option<Signal> {
        // Real-time signals have no named constant; the kernel takes every number up to 64.
        NonZeroI32::new(self.0).map(crate::sys::signal_from_number)
    }
}

impl FromStr for SignalNumber {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::UnknownSignal(text.to_owned());
        if let Ok(number) = text.parse::<i32>() {
            return (0..=LAST).contains(&number).then_some(Self(number)).ok_or_else(unknown);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Self(*number));
        }
        let offset = |rest: &str| rest.parse::<u8>().map(i32::from).ok();
        let number = if let Some(up) = name.strip_prefix("RTMIN+").and_then(offset) {
            FIRST_REALTIME + up
        } else if let Some(down) = name.strip_prefix("RTMAX-").and_then(offset) {
            LAST - down
        } else {
            return Err(unknown());
        };
        (FIRST_REALTIME..=LAST).contains(&number).then_some(Self(number)).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<i32> {
        text.parse::<SignalNumber>().ok().map(SignalNumber::raw)
    }

    #[test]
    fn names_with_and_without_prefix_in_any_case() {
        for text in ["TERM", "SIGTERM", "term", "sigterm", "15"] {
            assert_eq!(number(text), Some(15), "{text}");
        }
        assert_eq!(number("KILL"), Some(9));
        assert_eq!(number("SIGWINCH"), Some(28));
    }

    #[test]
    fn real_time_signals_by_offset() {
        assert_eq!(number("RTMIN"), Some(34));
        assert_eq!(number("SIGRTMIN+3"), Some(37));
        assert_eq!(number("RTMAX-14"), Some(50));
        assert_eq!(number("64"), Some(64));
        assert_eq!(number("RTMIN+31"), None);
        assert_eq!(number("RTMAX-31"), None);
    }

    #[test]
    fn zero_probes_and_others_are_unknown() {
        assert_eq!(number("0"), Some(0));
        assert!("0".parse::<SignalNumber>().unwrap().to_signal().is_none());
        for text in ["", "SIG", "-1", "65", "NOPE", "9x", "SIGSIGTERM"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}

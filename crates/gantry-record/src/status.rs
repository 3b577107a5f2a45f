//! How a process ended, in the one byte that the wire and `exitStatus` have for it.

use std::fmt;
use std::os::unix::process::ExitStatusExt;

/// 0 to 255: the exit code, or 128 plus the signal's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExitStatus(u8);

impl ExitStatus {
    /// What is reported when nobody could know (design, promise 2).
    pub const UNKNOWN: Self = Self(255);
    /// Ended by SIGKILL.
    pub const KILLED: Self = Self(128 + 9);

    /// A process that returned `code`; only the low eight bits exist (wait(2)).
    #[must_use]
    pub fn from_code(code: i32) -> Self {
        Self(code.to_le_bytes()[0])
    }

    /// A process that a signal ended.
    #[must_use]
    pub fn from_signal(signal: i32) -> Self {
        Self(signal.to_le_bytes()[0].wrapping_add(128))
    }

    /// What wait(2), or [`crate::pidfd::exit_status`], said of a process that has ended.
    #[must_use]
    pub fn from_wait_status(raw: i32) -> Self {
        let status = std::process::ExitStatus::from_raw(raw);
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::from_code(code),
            (None, Some(signal)) => Self::from_signal(signal),
            (None, None) => Self::UNKNOWN,
        }
    }

    /// The number for the wire.
    #[must_use]
    pub fn get(self) -> u32 {
        u32::from(self.0)
    }

    /// The signal that ended the process, as far as a shell could tell: 129 to 192 are signals 1 to 64.
    #[must_use]
    pub fn signal(self) -> Option<u32> {
        (129..=192).contains(&self.0).then(|| self.get() - 128)
    }

    /// Reads what a shim wrote: decimal, white space around it is harmless. Older daemons wrote -1 for
    /// unknown; anything that does not fit is unknown too.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let value: i64 = text.trim().parse().ok()?;
        Some(u8::try_from(value).map_or(Self::UNKNOWN, Self))
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_shims_write() {
        assert_eq!(ExitStatus::parse("42"), Some(ExitStatus::from_code(42)));
        assert_eq!(ExitStatus::parse("137\n"), Some(ExitStatus::KILLED));
        assert_eq!(ExitStatus::parse("-1"), Some(ExitStatus::UNKNOWN));
        assert_eq!(ExitStatus::parse("4000"), Some(ExitStatus::UNKNOWN));
        assert_eq!(ExitStatus::parse(""), None);
        assert_eq!(ExitStatus::parse("x"), None);
    }

    #[test]
    fn keeps_the_low_byte() {
        assert_eq!(ExitStatus::from_code(256 + 7).get(), 7);
        assert_eq!(ExitStatus::from_signal(15).get(), 143);
    }

    #[test]
    fn wait_statuses_are_codes_or_signals() {
        // Exit 42; SIGSEGV with a core; stopped, which is no end.
        let known = [(0x2a00, 42), (0x8b, 139), (9, 137), (0x137f, 255)];
        for (raw, expected) in known {
            assert_eq!(ExitStatus::from_wait_status(raw).get(), expected, "{raw:#x}");
        }
    }
}

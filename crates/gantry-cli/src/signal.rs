//! Signals by name or number.

use std::fmt;
use std::str::FromStr;

/// Names and numbers of signal(7), the same on every architecture that Gantry runs on.
const NAMES: [(&str, u32); 34] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// The first and the last real-time signal as the C library counts them.
const RTMIN: u32 = 34;
const RTMAX: u32 = 64;

/// A signal's number, 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal(u32);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no signal: give a name (TERM, SIGTERM, RTMIN+1) or a number from 1 to {RTMAX}")]
pub(crate) struct UnknownSignal(String);

// === impl Signal ===

impl Signal {
    pub(crate) const HUP: Self = Self(1);
    pub(crate) const INT: Self = Self(2);
    pub(crate) const KILL: Self = Self(9);
    pub(crate) const PIPE: Self = Self(13);
    pub(crate) const TERM: Self = Self(15);

    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// None for a number that is no signal's.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        (1..=RTMAX).contains(&number).then_some(Self(number))
    }

    /// A signal that tokio delivered.
    pub(crate) fn from_kind(kind: tokio::signal::unix::SignalKind) -> Self {
        Self(kind.as_raw_value().unsigned_abs())
    }

    /// What a shell reports for a process that died of it.
    pub(crate) fn exit_status(self) -> u8 {
        u8::try_from(128 + self.0).unwrap_or(u8::MAX)
    }
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownSignal(text.to_owned());
        if let Ok(number) = text.parse::<u32>() {
            return Self::from_number(number).ok_or_else(unknown);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Self(*number));
        }
        real_time(name).map(Self).ok_or_else(unknown)
    }
}

/// `RTMIN`, `RTMIN+3`, `RTMAX-2`.
fn real_time(name: &str) -> Option<u32> {
    let offset = |text: &str, sign: char| match text {
        "" => Some(0),
        _ => text.strip_prefix(sign)?.parse::<u32>().ok(),
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => RTMIN.checked_add(offset(rest, '+')?)?,
        (_, Some(rest)) => RTMAX.checked_sub(offset(rest, '-')?)?,
        _ => return None,
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None => write!(f, "signal {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let cases = [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigkill", 9),
            ("usr1", 10),
            ("9", 9),
            ("64", 64),
            ("RTMIN", 34),
            ("SIGRTMIN+1", 35),
            ("RTMAX-1", 63),
        ];
        for (text, number) in cases {
            assert_eq!(text.parse::<Signal>(), Ok(Signal(number)), "{text}");
        }
    }

    #[test]
    fn what_is_no_signal() {
        for text in ["", "0", "65", "-9", "SIG", "TERMX", "RTMIN+40", "RTMAX-99", "RTMIN1"] {
            assert_eq!(text.parse::<Signal>(), Err(UnknownSignal(text.into())));
        }
    }

    #[test]
    fn statuses_and_names_as_a_shell_has_them() {
        assert_eq!(Signal::KILL.exit_status(), 137);
        assert_eq!(Signal::TERM.to_string(), "SIGTERM");
        assert_eq!(Signal(40).to_string(), "signal 40");
    }
}

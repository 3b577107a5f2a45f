//! How much is logged.

use std::str::FromStr;
use tracing::level_filters::LevelFilter;

/// What is logged: this and everything worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Level {
    /// What can't be helped.
    Error,
    /// What somebody should look at.
    Warn,
    /// What happens.
    Info,
    /// What helps to find a fault.
    Debug,
    /// Every step.
    Trace,
}

impl Level {
    pub(super) fn from_number(number: u8) -> Self {
        [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace]
            .into_iter()
            .find(|level| *level as u8 == number)
            .unwrap_or(Self::Info)
    }

    pub(super) fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

impl FromStr for Level {
    type Err = String;

    /// Reads 0.2's names; those that have no level of their own here are errors.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "error" | "fatal" | "panic" => Ok(Self::Error),
            "warn" | "warning" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            _ => Err("use debug, info, warn or error".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_old_names_and_survives_its_number() {
        for (text, level) in [("fatal", Level::Error), ("WARNING", Level::Warn), ("debug", Level::Debug)] {
            assert_eq!(text.parse(), Ok(level));
            assert_eq!(Level::from_number(level as u8), level);
        }
        assert!("loud".parse::<Level>().is_err());
    }
}

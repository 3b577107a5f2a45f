//! What fuzz targets do with this program's parsers. Each function takes anything and panics where a promise is broken.
#![allow(clippy::unwrap_used, reason = "a panic is how a fuzz target says that it has found something")]

use crate::names::Names;
use crate::{args, argv, config, duration, telemetry};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

fn names() -> Names {
    Names { config: None, ..Names::of(Path::new("gantryd"), None) }
}

/// A configuration file: what is wrong with it is told with its place, and what is right makes a daemon's settings.
pub fn config(text: &str) {
    config::fuzzing(&names(), text);
}

/// A command line; how it is spelled anew does not depend on how it was spelled.
pub fn command_line(words: &[OsString]) {
    let command = args::command(&names());
    for as_containerd in [false, true] {
        let normal = argv::normalise(&command, words.iter().cloned(), as_containerd);
        assert_eq!(argv::normalise(&command, normal.clone(), as_containerd), normal);
    }
}

/// A span of time; those that Go reads too.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let duration = duration::parse_go_duration(text).ok()?;
    assert_eq!(duration::parse_interval(text), Ok(duration));
    assert_eq!(duration::parse_interval(&format!("-{text}")), Ok(Duration::ZERO));
    Some(duration)
}

/// What comes on the port for metrics.
pub fn http(bytes: &[u8]) {
    telemetry::fuzzing(bytes);
}

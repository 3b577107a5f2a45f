//! What fuzz targets do with this program's parsers. Each function takes anything and panics where a promise is broken.
#![allow(clippy::unwrap_used, reason = "a panic is how a fuzz target says that it has found something")]

use std::time::Duration;

use crate::quantity::{Bytes, Cpus, HumanBytes, HumanNanos, Limit};
use crate::signal::Signal;
use crate::{ctr, logs, when};

/// Sizes, limits, signals and moments, as users type them.
pub fn words(text: &str) {
    for number in [
        text.parse().map(Bytes::get).ok(),
        text.parse().map(Cpus::quota_us).ok(),
        text.parse().map(Limit::get).ok(),
    ]
    .into_iter()
    .flatten()
    {
        assert!(number == -1 || number > 0, "{text}: {number}");
        let _ =
            (HumanBytes(number.cast_unsigned()).to_string(), HumanNanos(number.cast_unsigned()).to_string());
    }
    if let Ok(signal) = text.parse::<Signal>() {
        assert!((1..=64).contains(&signal.number()), "{text}");
        let name = signal.to_string();
        assert_eq!(name.strip_prefix("signal ").unwrap_or(&name).parse(), Ok(signal));
    }
    let now = time::macros::datetime!(2024-05-01 12:00 UTC);
    if let Ok(since) = when::since(text, now) {
        assert_eq!(
            when::from_wire(when::to_wire(since)),
            Some(since.to_offset(time::UtcOffset::UTC)),
            "{text}"
        );
        let _ = when::ago(since, now);
        let _ = when::rfc3339(since);
    }
}

/// A command line of ctr 0.2, and the values of Go in it.
pub fn ctr(words: &[String]) {
    ctr::fuzzing::line(words);
}

/// A span of time as ctr reads it.
#[must_use]
pub fn go_duration(text: &str) -> Option<Duration> {
    ctr::fuzzing::duration(text)
}

/// A container's log, as `gantry logs` prints it: each stream's output is what the process wrote.
pub fn log(bytes: &[u8]) {
    logs::fuzzing::print(bytes);
}

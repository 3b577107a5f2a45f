//! Sizes, processors and counts: as users type them, and as people read them.

use std::fmt;
use std::str::FromStr;

/// The length of an enforcement period in microseconds that the kernel starts with, and that `--cpus` counts in.
pub(crate) const PERIOD_US: u64 = 100_000;

/// The kernel refuses less processor time in a period.
const LEAST_QUOTA_US: i64 = 1_000;

/// What the wire and the OCI specification say for "no limit".
const UNLIMITED: i64 = -1;

/// Units of sizes, and how many bytes they have as a power of two.
const UNITS: [(char, u32); 5] = [('b', 0), ('k', 10), ('m', 20), ('g', 30), ('t', 40)];

/// A size in bytes above zero, or -1 for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes(i64);

/// Processors, as microseconds of each period of [`PERIOD_US`]; -1 for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cpus {
    quota_us: i64,
}

/// A number above zero, or -1 for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(i64);

/// What is wrong with a number.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadQuantity {
    #[error("`{0}` is no size: give bytes, or a number with k, m, g or t (64m), or -1 for no limit")]
    Size(String),
    #[error("`{0}` is no number of processors: give one from 0.01 up (0.5, 2), or -1 for no limit")]
    Cpus(String),
    #[error("`{0}` is no limit: give a number above 0, or -1 for none")]
    Limit(String),
}

// === impl Bytes ===

impl Bytes {
    pub(crate) fn get(self) -> i64 {
        self.0
    }
}

impl FromStr for Bytes {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        size(text).map(Self).ok_or_else(|| BadQuantity::Size(text.to_owned()))
    }
}

/// `64m`, `64M`, `64mb`, `64MiB` and `67108864` are the same.
fn size(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(UNLIMITED);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: i64 = text[..digits].parse().ok()?;
    let unit = text[digits..].to_ascii_lowercase();
    let mut letters = unit.chars();
    let power = match letters.next() {
        None => 0,
        Some(letter) => UNITS.iter().find(|(known, _)| *known == letter)?.1,
    };
    let rest_is_known = matches!((power, letters.as_str()), (_, "") | (1.., "b" | "ib"));
    let bytes = number.checked_mul(1 << power)?;
    (rest_is_known && bytes > 0).then_some(bytes)
}

// === impl Cpus ===

impl Cpus {
    pub(crate) fn quota_us(self) -> i64 {
        self.quota_us
    }
}

impl FromStr for Cpus {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let quota_us = quota(text).ok_or_else(|| BadQuantity::Cpus(text.to_owned()))?;
        Ok(Self { quota_us })
    }
}

/// Exact: five decimals are what a period has microseconds for.
fn quota(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(UNLIMITED);
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    if !is_number(part) || part.len() > 5 || !(is_number(whole) || whole.is_empty() && text.len() > 1) {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: i64 = format!("{part:0<5}").parse().ok()?;
    let quota = whole.checked_mul(100_000)?.checked_add(part)?;
    (quota >= LEAST_QUOTA_US).then_some(quota)
}

// === impl Limit ===

impl Limit {
    pub(crate) fn get(self) -> i64 {
        self.0
    }
}

impl FromStr for Limit {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.parse().ok().filter(|number| *number == UNLIMITED || *number > 0);
        number.map(Self).ok_or_else(|| BadQuantity::Limit(text.to_owned()))
    }
}

// === for people ===

/// A size in the largest unit that leaves a number above one: `1.5 MiB`.
pub(crate) struct HumanBytes(pub(crate) u64);

impl fmt::Display for HumanBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        // In tenths, rounded, so that no floating point is needed; 1023.96 KiB is 1.0 MiB.
        let tenths = |power: u32| (u128::from(self.0) * 10 + (1 << (power - 1))) >> power;
        let fits = |(at, _): &(u32, &str)| tenths(10 * at) < 10_240;
        let mut units = (1..).zip(NAMES);
        let (at, name) = units.find(fits).unwrap_or((4, NAMES[3]));
        let tenths = tenths(10 * at);
        write!(f, "{}.{} {name}", tenths / 10, tenths % 10)
    }
}

/// A span of processor time: `0.25 s`, `3m 07s`, `2h 05m`.
pub(crate) struct HumanNanos(pub(crate) u64);

impl fmt::Display for HumanNanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = self.0 / 10_000_000;
        let seconds = hundredths / 100;
        match seconds {
            0..60 => write!(f, "{seconds}.{:02} s", hundredths % 100),
            60..3_600 => write!(f, "{}m {:02}s", seconds / 60, seconds % 60),
            _ => write!(f, "{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            ("1", Some(1)),
            ("64m", Some(64 << 20)),
            ("64M", Some(64 << 20)),
            ("64mb", Some(64 << 20)),
            ("64MiB", Some(64 << 20)),
            ("2g", Some(2 << 30)),
            ("5b", Some(5)),
            ("-1", Some(-1)),
            ("0", None),
            ("", None),
            ("m", None),
            ("5bb", None),
            ("5x", None),
            ("5mx", None),
            ("1.5g", None),
            ("-5", None),
            ("9999999999999999999", None),
            ("99999999999t", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse::<Bytes>().ok().map(Bytes::get), bytes, "{text}");
        }
    }

    #[test]
    fn processors() {
        let cases = [
            ("1", Some(100_000)),
            ("0.5", Some(50_000)),
            (".5", Some(50_000)),
            ("2.25", Some(225_000)),
            ("0.01", Some(1_000)),
            ("-1", Some(-1)),
            ("0", None),
            ("0.001", None),
            ("0.123456", None),
            (".", None),
            ("", None),
            ("1.", None),
            ("-2", None),
            ("+1", None),
            ("1e3", None),
        ];
        for (text, quota) in cases {
            assert_eq!(text.parse::<Cpus>().ok().map(Cpus::quota_us), quota, "{text}");
        }
    }

    #[test]
    fn limits() {
        for (text, number) in [("1", Some(1)), ("-1", Some(-1)), ("0", None), ("-2", None), ("x", None)] {
            assert_eq!(text.parse::<Limit>().ok().map(Limit::get), number, "{text}");
        }
    }

    #[test]
    fn sizes_for_people() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536 << 10, "1.5 MiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (64 << 20, "64.0 MiB"),
            (u64::MAX, "16777216.0 TiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(HumanBytes(bytes).to_string(), text, "{bytes}");
        }
    }

    #[test]
    fn spans_for_people() {
        let second = 1_000_000_000;
        let cases =
            [(0, "0.00 s"), (second / 4, "0.25 s"), (187 * second, "3m 07s"), (7_500 * second, "2h 05m")];
        for (nanos, text) in cases {
            assert_eq!(HumanNanos(nanos).to_string(), text, "{nanos}");
        }
    }
}

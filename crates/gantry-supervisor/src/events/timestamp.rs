//! Wall-clock time with nanoseconds, as the wire and the log have it.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Nanoseconds since 1970-01-01T00:00:00Z; negative before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i128);

const NANOS: i128 = 1_000_000_000;

impl Timestamp {
    /// Go's zero time, 0001-01-01T00:00:00Z: old clients send it for "no time given".
    pub const GO_ZERO: Self = Self(-62_135_596_800 * NANOS);

    /// The time now.
    #[must_use]
    pub fn now() -> Self {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Self(since.as_nanos().try_into().unwrap_or(i128::MAX)),
            Err(before) => Self(i128::try_from(before.duration().as_nanos()).map_or(i128::MIN, |n| -n)),
        }
    }

    /// From the wire's two numbers; `None` outside of 0001-01-01 to 9999-12-31 or with nanoseconds that are none.
    #[must_use]
    pub fn from_parts(seconds: i64, nanos: i32) -> Option<Self> {
        let valid =
            (0..1_000_000_000).contains(&nanos) && (-62_135_596_800..253_402_300_800).contains(&seconds);
        valid.then(|| Self(i128::from(seconds) * NANOS + i128::from(nanos)))
    }

    /// Seconds and nanoseconds for the wire.
    #[must_use]
    pub fn to_parts(self) -> (i64, i32) {
        let seconds = i64::try_from(self.0.div_euclid(NANOS)).unwrap_or(i64::MAX);
        let nanos = i32::try_from(self.0.rem_euclid(NANOS)).unwrap_or(0);
        (seconds, nanos)
    }

    /// The next possible time, so that "strictly after" can tell two events apart.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Reads RFC 3339 with any offset and up to nine digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        OffsetDateTime::parse(text, &Rfc3339).ok().map(|t| Self(t.unix_timestamp_nanos()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text =
            OffsetDateTime::from_unix_timestamp_nanos(self.0).ok().and_then(|t| t.format(&Rfc3339).ok());
        f.write_str(&text.ok_or(fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_writes_is_read_and_what_is_written_is_read_back() {
        let t = Timestamp::parse("2016-05-02T11:02:15.123456789+02:00").unwrap();
        assert_eq!(t.to_string(), "2016-05-02T09:02:15.123456789Z");
        assert_eq!(Timestamp::parse(&t.to_string()), Some(t));
        assert_eq!(Timestamp::parse("0001-01-01T00:00:00Z"), Some(Timestamp::GO_ZERO));
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn parts_round_trip_and_nonsense_is_refused() {
        let t = Timestamp::from_parts(-1, 999_999_999).unwrap();
        assert_eq!(t.to_parts(), (-1, 999_999_999));
        assert_eq!(t.next().to_parts(), (0, 0));
        assert_eq!(Timestamp::from_parts(0, 1_000_000_000), None);
        assert_eq!(Timestamp::from_parts(0, -1), None);
        assert_eq!(Timestamp::from_parts(i64::MAX, 0), None);
    }
}

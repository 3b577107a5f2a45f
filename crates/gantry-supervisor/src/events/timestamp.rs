//! Wall-clock time with nanoseconds, as the wire and the log have it.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Nanoseconds since 1970-01-01T00:00:00Z; negative before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i128);

const NANOS: i128 = 1_000_000_000;
/// The first and the last moment of the years 1 to 9999 in UTC: the wire and RFC 3339 have no others.
const FIRST: i128 = -62_135_596_800 * NANOS;
const LAST: i128 = 253_402_300_800 * NANOS - 1;

impl Timestamp {
    /// Go's zero time, 0001-01-01T00:00:00Z: old clients send it for "no time given".
    pub const GO_ZERO: Self = Self(FIRST);

    /// The time now.
    #[must_use]
    pub fn now() -> Self {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Self(since.as_nanos().try_into().map_or(LAST, |nanos: i128| nanos.min(LAST))),
            Err(before) => {
                Self(i128::try_from(before.duration().as_nanos()).map_or(FIRST, |nanos| (-nanos).max(FIRST)))
            }
        }
    }

    /// From the wire's two numbers; `None` outside of 0001-01-01 to 9999-12-31 or with nanoseconds that are none.
    #[must_use]
    pub fn from_parts(seconds: i64, nanos: i32) -> Option<Self> {
        let time = i128::from(seconds) * NANOS + i128::from(nanos);
        ((0..1_000_000_000).contains(&nanos) && (FIRST..=LAST).contains(&time)).then_some(Self(time))
    }

    /// Seconds and nanoseconds for the wire.
    #[must_use]
    pub fn to_parts(self) -> (i64, i32) {
        let seconds = i64::try_from(self.0.div_euclid(NANOS)).unwrap_or(i64::MAX);
        let nanos = i32::try_from(self.0.rem_euclid(NANOS)).unwrap_or(0);
        (seconds, nanos)
    }

    /// The next possible time, so that "strictly after" can tell two events apart. The last of all has none after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1).min(LAST))
    }

    /// Reads RFC 3339 with any offset and up to nine digits; `None` for a time that in UTC is outside of the years 1 to
    /// 9999, since it could not be written again.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
        (FIRST..=LAST).contains(&time).then_some(Self(time))
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
    fn what_is_read_can_be_written_and_so_can_the_next_one() {
        for text in ["9999-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00-23:59"] {
            let time = Timestamp::parse(text).unwrap();
            for time in [time, time.next()] {
                assert_eq!(Timestamp::parse(&time.to_string()), Some(time), "{text}");
            }
        }
        // In UTC these are of the years 10000, 0 and -1.
        for text in ["9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01", "0000-01-01T00:00:00+00:01"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
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

//! Moments and spans of time: on the wire, as users type them, and as people read them.

use std::time::Duration;

use prost_types::Timestamp;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The moment from which every stored event is replayed.
pub(crate) const EPOCH: Timestamp = Timestamp { seconds: 0, nanos: 0 };

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a moment (2024-05-01T12:00:00Z) nor a span (90s, 10m, 1h30m, 7d)")]
pub(crate) struct BadMoment(String);

/// Now, as events are stamped.
pub(crate) fn now() -> Timestamp {
    to_wire(OffsetDateTime::now_utc())
}

/// A moment as the wire has it.
pub(crate) fn to_wire(moment: OffsetDateTime) -> Timestamp {
    Timestamp { seconds: moment.unix_timestamp(), nanos: i32::try_from(moment.nanosecond()).unwrap_or(0) }
}

/// A moment from the wire; none if it is out of range.
pub(crate) fn from_wire(timestamp: Timestamp) -> Option<OffsetDateTime> {
    let seconds = OffsetDateTime::from_unix_timestamp(timestamp.seconds).ok()?;
    let nanos = u32::try_from(timestamp.nanos).ok()?;
    seconds.replace_nanosecond(nanos).ok()
}

/// RFC 3339, in UTC, with as many digits as the moment has.
pub(crate) fn rfc3339(moment: OffsetDateTime) -> String {
    moment.to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_default()
}

pub(crate) fn from_rfc3339(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// `--since`: a moment, or a span before now.
pub(crate) fn since(text: &str, now: OffsetDateTime) -> Result<OffsetDateTime, BadMoment> {
    let bad = || BadMoment(text.to_owned());
    if let Some(moment) = from_rfc3339(text) {
        return Ok(moment);
    }
    let span = span(text).and_then(|span| time::Duration::try_from(span).ok()).ok_or_else(bad)?;
    now.checked_sub(span).ok_or_else(bad)
}

/// `1h30m`, `90s`, `250ms`; a bare `0` is allowed as in Go.
fn span(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
        let part = match &rest[..unit_end] {
            "ms" => Some(Duration::from_millis(number)),
            "s" => seconds(1),
            "m" => seconds(60),
            "h" => seconds(3_600),
            "d" => seconds(86_400),
            _ => None,
        }?;
        total = total.checked_add(part)?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(total)
}

/// How long ago, in the largest unit that fits: `3 minutes ago`.
pub(crate) fn ago(moment: OffsetDateTime, now: OffsetDateTime) -> String {
    let seconds = (now - moment).whole_seconds().max(0);
    let (count, unit) = match seconds {
        0 => return "just now".to_owned(),
        1..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn spans() {
        let cases = [
            ("0", Some(0)),
            ("90s", Some(90_000)),
            ("1h30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("7d", Some(604_800_000)),
            ("", None),
            ("5", None),
            ("s", None),
            ("1x", None),
            ("-5s", None),
            ("99999999999999999999s", None),
        ];
        for (text, millis) in cases {
            assert_eq!(span(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn since_takes_moments_and_spans() {
        let now = datetime!(2024-05-01 12:00 UTC);
        assert_eq!(since("2024-04-30T12:00:00.5+02:00", now), Ok(datetime!(2024-04-30 10:00:00.5 UTC)));
        assert_eq!(since("10m", now), Ok(datetime!(2024-05-01 11:50 UTC)));
        assert!(since("yesterday", now).is_err());
        assert!(since("99999999999999d", now).is_err());
    }

    #[test]
    fn the_wire_keeps_nanoseconds() {
        let moment = datetime!(2024-05-01 12:00:00.123456789 UTC);
        assert_eq!(from_wire(to_wire(moment)), Some(moment));
        assert_eq!(rfc3339(moment), "2024-05-01T12:00:00.123456789Z");
        assert_eq!(from_wire(Timestamp { seconds: 0, nanos: -1 }), None);
        assert_eq!(from_wire(Timestamp { seconds: i64::MAX, nanos: 0 }), None);
    }

    #[test]
    fn ages() {
        let now = datetime!(2024-05-01 12:00 UTC);
        let cases = [
            (0, "just now"),
            (-5, "just now"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (60, "1 minute ago"),
            (7_200, "2 hours ago"),
            (172_800, "2 days ago"),
        ];
        for (seconds, text) in cases {
            assert_eq!(ago(now - time::Duration::seconds(seconds), now), text);
        }
    }
}

//! Times as text: RFC 3339, written in UTC with nanoseconds, read in any offset.
//!
//! Written without allocation and without a time library, since the shim does it for each read of a container's output.

use std::time::Duration;

/// How long a written time is: `2024-02-29T12:34:56.000000005Z`.
pub const TEXT_BYTES: usize = 30;

const SECONDS_A_DAY: u64 = 86_400;
/// The first second of the year 10000, which has no four digits.
const END: u64 = 253_402_300_800;
const DAYS_TO_MARCH_OF_YEAR_0: u64 = 719_468;
const DAYS_OF_400_YEARS: u64 = 146_097;

/// A time since the epoch as text. Years beyond 9999 lose their first digits.
#[must_use]
pub fn format(since_epoch: Duration) -> [u8; TEXT_BYTES] {
    let seconds = since_epoch.as_secs();
    let (year, month, day) = date(seconds / SECONDS_A_DAY);
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    put(&mut text, 0..4, year);
    put(&mut text, 5..7, month);
    put(&mut text, 8..10, day);
    put(&mut text, 11..13, seconds / 3600 % 24);
    put(&mut text, 14..16, seconds / 60 % 60);
    put(&mut text, 17..19, seconds % 60);
    put(&mut text, 20..29, u64::from(since_epoch.subsec_nanos()));
    text
}

/// Reads a time; `None` for anything that is none, or in UTC is before the epoch or after the year 9999.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let (date, clock) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let zone = clock.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = clock.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    // A leap second is the 60th.
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days(year, month, day)?;
    let local = days * SECONDS_A_DAY + hour * 3600 + minute * 60 + second;
    let seconds = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => local,
        (sign, offset) => {
            let [hours, minutes] = numbers(offset, ':', [2, 2])?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 3600 + minutes * 60;
            if sign == "+" { local.checked_sub(offset)? } else { local + offset }
        }
    };
    Some(Duration::new(Some(seconds).filter(|seconds| *seconds < END)?, nanos(fraction)?))
}

/// The year, month and day that a number of days after the epoch is. Years are counted from March, so that the leap
/// day is a year's last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_MARCH_OF_YEAR_0;
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day + 2) / 153;
    let day = day - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (400 * era + year + u64::from(month <= 2), month, day)
}

/// The reverse of [`date`]; nothing for a day before the epoch.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month_from_march) =
        if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let (era, year) = (year / 400, year % 400);
    let day = (153 * month_from_march + 2) / 5 + day - 1;
    let days = era * DAYS_OF_400_YEARS + 365 * year + year / 4 - year / 100 + day;
    days.checked_sub(DAYS_TO_MARCH_OF_YEAR_0)
}

fn put(text: &mut [u8; TEXT_BYTES], place: std::ops::Range<usize>, mut number: u64) {
    for digit in text.get_mut(place).into_iter().flatten().rev() {
        *digit = b'0' + (number % 10).to_le_bytes()[0];
        number /= 10;
    }
}

/// Numbers of just these lengths.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[u64; N]> {
    let mut parts = text.split(separator);
    let mut found = [0; N];
    for (number, digits) in found.iter_mut().zip(digits) {
        *number = digits_only(parts.next()?).filter(|part| part.len() == digits)?.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

fn nanos(fraction: &str) -> Option<u32> {
    let digits = digits_only(fraction).filter(|digits| (1..=9).contains(&digits.len()))?;
    let scale = 10_u32.pow(9 - u32::try_from(digits.len()).ok()?);
    Some(digits.parse::<u32>().ok()? * scale)
}

/// Parsing alone would take a sign too.
fn digits_only(text: &str) -> Option<&str> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(time: Duration) -> String {
        String::from_utf8(format(time).to_vec()).unwrap()
    }

    #[test]
    fn times_are_dates() {
        assert_eq!(text(Duration::ZERO), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(text(Duration::new(951_827_696, 5)), "2000-02-29T12:34:56.000000005Z");
        assert_eq!(text(Duration::from_secs(1_735_689_599)), "2024-12-31T23:59:59.000000000Z");
    }

    #[test]
    fn what_is_written_is_read() {
        for day in 0..60_000 {
            let time = Duration::new(day * SECONDS_A_DAY + day % SECONDS_A_DAY, 123_456_789);
            assert_eq!(parse(&text(time)), Some(time), "{}", text(time));
        }
    }

    #[test]
    fn other_writers_forms_are_read() {
        let time = Duration::new(951_827_696, 500_000_000);
        for form in [
            "2000-02-29T12:34:56.5Z",
            "2000-02-29t12:34:56.50z",
            "2000-02-29 12:34:56.500000000Z",
            "2000-02-29T14:34:56.5+02:00",
            "2000-02-29T07:04:56.5-05:30",
        ] {
            assert_eq!(parse(form), Some(time), "{form}");
        }
        assert_eq!(parse("1970-01-01T00:00:00Z"), Some(Duration::ZERO));
        let last = Duration::new(END - 1, 999_999_999);
        assert_eq!(
            (parse("9999-12-31T23:59:59.999999999Z"), text(last).as_str()),
            (Some(last), "9999-12-31T23:59:59.999999999Z")
        );
    }

    #[test]
    fn anything_else_is_no_time() {
        for form in [
            "",
            "x",
            "2000-02-29",
            "2000-02-29T12:34:56",
            "2000-02-29T12:34Z",
            "2000-13-01T00:00:00Z",
            "2000-00-01T00:00:00Z",
            "2000-02-29T24:00:00Z",
            "2000-02-29T12:34:56.Z",
            "2000-02-29T12:34:56.1234567890Z",
            "2000-02-29T12:34:56Zx",
            "2000-02-29T12:34:56+2:00",
            "+200-02-29T12:34:56Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "0000-01-01T00:00:00Z",
            // In UTC of the year 10000, which has no four digits.
            "9999-12-31T23:59:60Z",
            "9999-12-31T23:59:59-00:01",
            "2000-02-29T12:34:56+24:00",
            "2000-02-29T12:34:56+00:60",
            "é",
        ] {
            assert_eq!(parse(form), None, "{form}");
        }
    }
}

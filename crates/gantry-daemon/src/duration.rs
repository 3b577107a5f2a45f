//! Durations as Go writes them: `30s`, `2m`, `1h30m`, `1.5s`, `0`.

use std::time::Duration;

/// Reads a duration that is not negative.
pub(crate) fn parse_go_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write it like 30s, 2m or 1h30m");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err(wrong());
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let after = &rest[digits..];
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let unit = match &after[..letters] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        let part = Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = &after[letters..];
    }
    Ok(total)
}

/// Reads how often something is to be done; what is not positive means never.
pub(crate) fn parse_interval(text: &str) -> Result<Duration, String> {
    match text.strip_prefix('-') {
        Some(negative) => parse_go_duration(negative).map(|_| Duration::ZERO),
        None => parse_go_duration(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_writes() {
        for (text, milliseconds) in
            [("0", 0), ("15s", 15_000), ("5m0s", 300_000), ("1h30m", 5_400_000), ("1.5s", 1500), ("20ms", 20)]
        {
            assert_eq!(parse_go_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(parse_interval("-5m"), Ok(Duration::ZERO));
        for text in ["", "5", "s", "-1s", "1x", "1e400s", "99999999999999999999h", "1.2.3s"] {
            assert!(parse_go_duration(text).is_err(), "{text}");
        }
    }
}

//! Values as Go reads and writes them: what users of ctr type, and what its scripts parse.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

/// A text that is no value of its kind; reads as Go's error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadValue {
    #[error("strconv.{function}: parsing {}: {problem}", quote(text))]
    Number { function: &'static str, text: String, problem: &'static str },
    #[error("time: invalid duration {0}")]
    Duration(String),
    #[error("parsing time {} as \"2006-01-02T15:04:05.999999999Z07:00\": no such time", quote(.0))]
    Time(String),
}

const SYNTAX: &str = "invalid syntax";
const RANGE: &str = "value out of range";

// === numbers ===

pub(crate) fn parse_bool(text: &str) -> Result<bool, BadValue> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(bad("ParseBool", text, SYNTAX)),
    }
}

/// A 64-bit number; `0x` makes it hexadecimal, a leading `0` octal.
pub(crate) fn parse_unsigned(text: &str) -> Result<u64, BadValue> {
    magnitude(text).map_err(|problem| bad("ParseUint", text, problem))
}

/// The same with a sign.
pub(crate) fn parse_signed(text: &str) -> Result<i64, BadValue> {
    let bad = |problem| bad("ParseInt", text, problem);
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let magnitude = magnitude(digits).map_err(bad)?;
    let signed = if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() };
    signed.ok_or_else(|| bad(RANGE))
}

fn magnitude(text: &str) -> Result<u64, &'static str> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(SYNTAX);
    }
    u64::from_str_radix(digits, radix).map_err(|_| RANGE)
}

fn bad(function: &'static str, text: &str, problem: &'static str) -> BadValue {
    BadValue::Number { function, text: text.to_owned(), problem }
}

// === times ===

/// `1s`, `1m30s`, `1.5h`, `0`. A negative one is none at all.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, BadValue> {
    let bad = || BadValue::Duration(text.to_owned());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut rest = unsigned;
    let mut seconds = 0.0;
    while !rest.is_empty() && unsigned != "0" {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        seconds += number
            * match &rest[..letters] {
                "ns" => 1e-9,
                "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                _ => return Err(bad()),
            };
        rest = &rest[letters..];
    }
    if unsigned.is_empty() {
        return Err(bad());
    }
    if text.starts_with('-') {
        Ok(Duration::ZERO)
    } else {
        Duration::try_from_secs_f64(seconds).map_err(|_| bad())
    }
}

// === texts ===

/// A string literal.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\0'..='\u{1f}' | '\u{7f}' => {
                quoted.push_str(&format!("\\x{:02x}", u32::from(character)));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// JSON on one line. What HTML would take for markup is escaped, which is the same to everybody who reads JSON.
pub(crate) fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let json = serde_json::to_string(value)?;
    // These are never anything but parts of strings.
    Ok(json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"))
}

/// An absolute path without `.` and `..`, by its text alone.
pub(crate) fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    let mut clean = PathBuf::new();
    for component in std::path::absolute(path)?.components() {
        match component {
            // The parent of the root is the root.
            Component::ParentDir => drop(clean.pop()),
            other => clean.push(other),
        }
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_bases() {
        for (text, number) in [("0", 0), ("42", 42), ("0x1F", 31), ("0XfF", 255), ("010", 8), ("00", 0)] {
            assert_eq!(parse_unsigned(text), Ok(number), "{text}");
        }
        assert_eq!(parse_unsigned("0xffffffffffffffff"), Ok(u64::MAX));
        assert_eq!(parse_signed("-0x10"), Ok(-16));
        assert_eq!(parse_signed("+7"), Ok(7));
        assert_eq!(parse_signed("-9223372036854775808"), Ok(i64::MIN));
    }

    #[test]
    fn what_is_no_number_is_told_in_go_s_words() {
        let texts = ["", "-1", "+1", "0x", "08", "1k", " 1", "1_000"];
        for text in texts {
            let expected = format!("strconv.ParseUint: parsing \"{text}\": invalid syntax");
            assert_eq!(parse_unsigned(text).unwrap_err().to_string(), expected);
        }
        let too_large = parse_unsigned("18446744073709551616").unwrap_err().to_string();
        assert_eq!(too_large, "strconv.ParseUint: parsing \"18446744073709551616\": value out of range");
        let too_small = parse_signed("-9223372036854775809").unwrap_err().to_string();
        assert_eq!(too_small, "strconv.ParseInt: parsing \"-9223372036854775809\": value out of range");
        let no_bool = parse_bool("yes").unwrap_err().to_string();
        assert_eq!(no_bool, "strconv.ParseBool: parsing \"yes\": invalid syntax");
    }

    #[test]
    fn durations() {
        let cases = [
            ("0", 0),
            ("1s", 1_000),
            ("1m30s", 90_000),
            ("1.5s", 1_500),
            ("250ms", 250),
            ("-3s", 0),
            ("+1s", 1_000),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "-", "5", "s", "1x", "1.2.3s", "1e400h"] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert_eq!(error, format!("time: invalid duration {text}"));
        }
    }

    #[test]
    fn literals_and_json() {
        assert_eq!(quote("a \"b\"\\\n\u{1b}é"), "\"a \\\"b\\\"\\\\\\n\\x1bé\"");
        assert_eq!(json(&["<a & b>"]).unwrap(), "[\"\\u003ca \\u0026 b\\u003e\"]");
    }

    #[test]
    fn paths_are_cleaned() {
        for (path, clean) in [("/a/../b/./c//d/", "/b/c/d"), ("/..", "/"), ("/", "/")] {
            assert_eq!(absolute(Path::new(path)).unwrap(), Path::new(clean));
        }
        assert!(absolute(Path::new("x")).unwrap().is_absolute());
    }
}

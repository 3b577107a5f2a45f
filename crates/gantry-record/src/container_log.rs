//! Logs of containers: where the shim appends a process's output line by line, and what the lines look like.
//!
//! A process's standard output or error is logged when its path has the form of a [`LogTarget`]:
//!
//! ```text
//! gantry-log:///ABSOLUTE/PATH[?max-bytes=N][&max-files=M]
//! ```
//!
//! In the path `%`, `?` and bytes that are no printable ASCII are written as `%XX`. With `max-bytes` the file is renamed
//! to `PATH.1` before it would become larger than that, `PATH.1` to `PATH.2`, and so on; `max-files` of them are kept, the
//! current one included (1 to 100, 5 unless it is given). A line that is larger than `max-bytes` is written all the same.
//!
//! Each line of the file is a [`LogRecord`] in the format of the Kubernetes container runtime interface:
//!
//! ```text
//! 2024-02-29T12:34:56.000000005Z stdout F the line's text
//! ```
//!
//! The time is in UTC, the stream is `stdout` or `stderr`. `F` says that the text is the whole rest of the line, `P` that
//! the line goes on in the stream's next record: it is longer than [`MAX_TEXT_BYTES`]. Text is as the process wrote it;
//! with a terminal it ends in a carriage return.

use crate::timestamp;
use std::fmt::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What a target begins with; the path follows at once.
pub const SCHEME: &str = "gantry-log://";

/// The longest text of one record.
pub const MAX_TEXT_BYTES: usize = 16 << 10;

/// How long everything before a record's text is.
pub const HEADER_BYTES: usize = timestamp::TEXT_BYTES + " stdout F ".len();

const DEFAULT_MAX_FILES: u8 = 5;
const MAX_MAX_FILES: u8 = 100;

// === LogTarget ===

/// A path for output that begins as a target but is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid log {target:?}: {reason}")]
pub struct InvalidTarget {
    /// What was given, cut to a printable length.
    pub target: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A log file and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTarget {
    /// Where it is; absolute.
    pub path: PathBuf,
    /// How large it may become before it is set aside; `None` for no limit.
    pub max_bytes: Option<u64>,
    /// How many files are kept, this one included.
    pub max_files: u8,
}

impl LogTarget {
    /// A log without limits.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, max_bytes: None, max_files: DEFAULT_MAX_FILES }
    }

    /// Reads a path for standard output or error; `None` when it is a plain path.
    ///
    /// # Errors
    /// [`InvalidTarget`] when it begins as a target but is none.
    pub fn of_stream(path: &str) -> Result<Option<Self>, InvalidTarget> {
        path.starts_with(SCHEME).then(|| path.parse()).transpose()
    }

    /// The file with this number: 0 is the current one, then come the older ones up to
    /// [`max_files`](Self::max_files).
    #[must_use]
    pub fn file(&self, number: u8) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let text = text.strip_prefix(SCHEME).ok_or("it does not begin with gantry-log://")?;
        let (path, options) = text.split_once('?').unwrap_or((text, ""));
        let mut target = Self::new(decode(path).ok_or("its path has a % without two hexadecimal digits")?);
        if !target.path.is_absolute() || target.path.file_name().is_none() {
            return Err("its path is not that of a file, from / on");
        }
        if target.path.as_os_str().as_bytes().contains(&0) {
            return Err("its path has a NUL");
        }
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=').ok_or("an option has no value")? {
                ("max-bytes", value) => target.max_bytes = Some(at_least_1(value)?),
                ("max-files", value) => {
                    let number = u8::try_from(at_least_1(value)?).ok().filter(|n| *n <= MAX_MAX_FILES);
                    target.max_files = number.ok_or("max-files is more than 100")?;
                }
                _ => return Err("an option is neither max-bytes nor max-files"),
            }
        }
        Ok(target)
    }
}

impl FromStr for LogTarget {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        Self::read(text).map_err(|reason| InvalidTarget { target: text.chars().take(256).collect(), reason })
    }
}

impl fmt::Display for LogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEME)?;
        for byte in self.path.as_os_str().as_bytes() {
            match byte {
                b'%' | b'?' => write!(f, "%{byte:02X}")?,
                b'!'..=b'~' => f.write_char(char::from(*byte))?,
                _ => write!(f, "%{byte:02X}")?,
            }
        }
        let mut separator = '?';
        if let Some(bytes) = self.max_bytes {
            write!(f, "{separator}max-bytes={bytes}")?;
            separator = '&';
        }
        if self.max_files != DEFAULT_MAX_FILES {
            write!(f, "{separator}max-files={}", self.max_files)?;
        }
        Ok(())
    }
}

fn at_least_1(value: &str) -> Result<u64, &'static str> {
    let number = value.parse::<u64>().ok().filter(|number| *number > 0 && !value.starts_with('+'));
    number.ok_or("an option's value is no number from 1 on")
}

fn decode(path: &str) -> Option<PathBuf> {
    let mut bytes = path.bytes();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let mut digit =
                || char::from(bytes.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            digit()? << 4 | digit()?
        } else {
            byte
        });
    }
    Some(PathBuf::from(std::ffi::OsString::from_vec(decoded)))
}

// === LogRecord ===

/// Which of its outputs a process wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Its name in a record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One line of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRecord<'a> {
    /// When the shim read it, since the epoch.
    pub time: Duration,
    /// Where the process wrote it.
    pub stream: Stream,
    /// Whether the line goes on in the stream's next record.
    pub partial: bool,
    /// What the process wrote, without the newline.
    pub text: &'a [u8],
}

impl<'a> LogRecord<'a> {
    /// Reads a line, with or without its newline; `None` when it is no record.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.strip_suffix(b"\n").unwrap_or(line).splitn(4, |byte| *byte == b' ');
        let time = timestamp::parse(std::str::from_utf8(fields.next()?).ok()?)?;
        let stream = match fields.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        // Other writers may put more tags behind the first, with colons between them.
        let partial = match fields.next()?.split(|byte| *byte == b':').next()? {
            b"P" => true,
            b"F" => false,
            _ => return None,
        };
        Some(Self { time, stream, partial, text: fields.next()? })
    }

    /// Everything before the text.
    #[must_use]
    pub fn header(time: Duration, stream: Stream, partial: bool) -> [u8; HEADER_BYTES] {
        let mut header = [b' '; HEADER_BYTES];
        let tag: &[u8] = if partial { b"P" } else { b"F" };
        let parts = [(0, &timestamp::format(time)[..]), (31, stream.name().as_bytes()), (38, tag)];
        for (place, part) in parts {
            for (to, from) in header.iter_mut().skip(place).zip(part) {
                *to = *from;
            }
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_survive_a_round_trip() {
        let target = LogTarget::of_stream("gantry-log:///var/log/c.log?max-bytes=1000&max-files=3").unwrap();
        let expected = LogTarget { path: "/var/log/c.log".into(), max_bytes: Some(1000), max_files: 3 };
        assert_eq!(target, Some(expected));
        for path in ["/a", "/a b/50%", "/what?x=1&y", "/\u{e9}\n", "/a#b"] {
            for (max_bytes, max_files) in [(None, 5), (Some(1), 5), (Some(u64::MAX), 100), (None, 1)] {
                let target = LogTarget { path: path.into(), max_bytes, max_files };
                let text = target.to_string();
                assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
                assert_eq!(text.parse::<LogTarget>().unwrap(), target, "{text}");
            }
        }
    }

    #[test]
    fn plain_paths_are_no_targets() {
        for path in ["", "/var/log/x", "gantry-log", "file:///x"] {
            assert_eq!(LogTarget::of_stream(path).unwrap(), None);
        }
    }

    #[test]
    fn what_is_wrong_with_a_target_is_said() {
        let wrong = [
            ("gantry-log://", "its path"),
            ("gantry-log://relative", "its path"),
            ("gantry-log:///", "its path"),
            ("gantry-log:///a/..", "its path"),
            ("gantry-log:///a%0", "without two hexadecimal digits"),
            ("gantry-log:///a%zz", "without two hexadecimal digits"),
            ("gantry-log:///a%00b", "a NUL"),
            ("gantry-log:///a?max-bytes", "has no value"),
            ("gantry-log:///a?max-bytes=0", "no number"),
            ("gantry-log:///a?max-bytes=+1", "no number"),
            ("gantry-log:///a?max-bytes=1k", "no number"),
            ("gantry-log:///a?max-files=101", "more than 100"),
            ("gantry-log:///a?max-size=1", "neither"),
        ];
        for (text, reason) in wrong {
            let error = LogTarget::of_stream(text).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn files_are_numbered_by_age() {
        let target = LogTarget::new("/l/c.log".into());
        assert_eq!(
            [0, 1, 10].map(|n| target.file(n)),
            ["/l/c.log", "/l/c.log.1", "/l/c.log.10"].map(PathBuf::from)
        );
    }

    #[test]
    fn records_survive_a_round_trip() {
        let time = Duration::new(951_827_696, 5);
        for (stream, partial) in [(Stream::Stdout, false), (Stream::Stderr, true)] {
            for text in [&b""[..], b"x", b" with  spaces ", b"\xff\0"] {
                let mut line = LogRecord::header(time, stream, partial).to_vec();
                line.extend_from_slice(text);
                let record = LogRecord { time, stream, partial, text };
                assert_eq!(LogRecord::parse(&line), Some(record));
                line.push(b'\n');
                assert_eq!(LogRecord::parse(&line), Some(record));
            }
        }
        let header = LogRecord::header(time, Stream::Stdout, false);
        assert_eq!(&header, b"2000-02-29T12:34:56.000000005Z stdout F ");
    }

    #[test]
    fn anything_else_is_no_record() {
        for line in
            ["", "x", "2000-02-29T12:34:56Z stdout F", "2000-02-29T12:34:56Z stdin F x", "x stdout F x"]
        {
            assert_eq!(LogRecord::parse(line.as_bytes()), None, "{line}");
        }
    }
}

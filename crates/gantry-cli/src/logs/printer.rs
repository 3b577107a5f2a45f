//! From a log's records back to what was written, each stream to its own: joined, filtered, the last lines only.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use gantry_record::container_log::{LogRecord, Stream};
use gantry_record::timestamp;

use crate::error::Error;
use crate::output;

/// Output is written in pieces of this size, and whenever all that is there was read.
const BATCH_BYTES: usize = 64 << 10;

/// What of a log is wanted, and how.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    /// Lines that began then or later, since the epoch.
    pub(crate) since: Option<Duration>,
    /// So many lines of what is there already.
    pub(crate) tail: Option<usize>,
    /// The time before each line.
    pub(crate) timestamps: bool,
    /// Only one of the streams.
    pub(crate) only: Option<Stream>,
}

/// Writes records to our own standard output and error.
#[derive(Debug)]
pub(crate) struct Printer<O = StdStreams> {
    wanted: Wanted,
    /// Of the line that a stream is in the middle of.
    states: [State; 2],
    /// The newest lines, until all that is there was read.
    tail: Option<VecDeque<Line>>,
    output: O,
}

/// A record can be a part of a line. Where a stream is:
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    BetweenLines,
    InShownLine,
    InSkippedLine,
}

#[derive(Debug)]
struct Line {
    stream: Stream,
    bytes: Vec<u8>,
}

/// Where the lines go.
pub(crate) trait Output {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Error>;
    fn flush(&mut self) -> Result<(), Error>;
}

/// Standard output and error; what is written to the one is never overtaken by what is written to the other.
#[derive(Debug, Default)]
pub(crate) struct StdStreams {
    waiting: Vec<u8>,
    stream: Option<Stream>,
}

// === impl Printer ===

impl Printer {
    pub(crate) fn new(wanted: Wanted) -> Self {
        Self::with(wanted, StdStreams::default())
    }
}

impl<O: Output> Printer<O> {
    pub(super) fn with(wanted: Wanted, output: O) -> Self {
        let tail = wanted.tail.map(|_| VecDeque::new());
        Self { wanted, states: [State::BetweenLines; 2], tail, output }
    }

    pub(crate) fn print(&mut self, record: &LogRecord<'_>) -> Result<(), Error> {
        if self.wanted.only.is_some_and(|only| only != record.stream) {
            return Ok(());
        }
        let state = &mut self.states[index(record.stream)];
        let before = *state;
        let begins = before == State::BetweenLines;
        let during = match before {
            State::BetweenLines if self.wanted.since.is_some_and(|since| record.time < since) => {
                State::InSkippedLine
            }
            State::BetweenLines => State::InShownLine,
            inside => inside,
        };
        *state = if record.partial { during } else { State::BetweenLines };
        if during != State::InShownLine {
            return Ok(());
        }
        let time = timestamp::format(record.time);
        let prefix: [&[u8]; 2] = if begins && self.wanted.timestamps { [&time, b" "] } else { [b"", b""] };
        let newline: &[u8] = if record.partial { b"" } else { b"\n" };
        let parts = [prefix[0], prefix[1], record.text, newline];
        match &mut self.tail {
            Some(tail) => {
                keep(tail, self.wanted.tail.unwrap_or(0), record.stream, begins, &parts);
                Ok(())
            }
            None => parts.iter().try_for_each(|part| self.output.write(record.stream, part)),
        }
    }

    /// All that is there was read: what waits is shown, and from now on everything at once.
    pub(crate) fn caught_up(&mut self) -> Result<(), Error> {
        for line in self.tail.take().into_iter().flatten() {
            self.output.write(line.stream, &line.bytes)?;
        }
        self.output.flush()
    }
}

fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

/// Adds to the newest lines: a new one, or more of the last one of a stream.
fn keep(tail: &mut VecDeque<Line>, limit: usize, stream: Stream, begins: bool, parts: &[&[u8]]) {
    if !begins {
        if let Some(line) = tail.iter_mut().rev().find(|line| line.stream == stream) {
            parts.iter().for_each(|part| line.bytes.extend_from_slice(part));
        }
        return;
    }
    tail.push_back(Line { stream, bytes: parts.concat() });
    while tail.len() > limit {
        tail.pop_front();
    }
}

// === impl StdStreams ===

impl Output for StdStreams {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Error> {
        if self.stream != Some(stream) || self.waiting.len() >= BATCH_BYTES {
            self.flush()?;
            self.stream = Some(stream);
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let waiting = std::mem::take(&mut self.waiting);
        match self.stream {
            Some(Stream::Stdout) => output::bytes(&mut io::stdout(), &waiting),
            Some(Stream::Stderr) => output::bytes(&mut io::stderr(), &waiting),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-05-01T12:00:00Z.
    const NOON: Duration = Duration::from_secs(1_714_564_800);

    #[derive(Default)]
    struct Collected(Vec<(Stream, String)>);

    impl Output for Collected {
        fn write(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Error> {
            self.0.push((stream, String::from_utf8(bytes.to_vec()).unwrap()));
            Ok(())
        }

        fn flush(&mut self) -> Result<(), Error> {
            Ok(())
        }
    }

    /// `o` and `e` for the stream, upper case for the end of a line; each record is a second after the one before.
    fn print(wanted: Wanted, records: &[(char, &str)]) -> [String; 2] {
        let mut printer = Printer::with(wanted, Collected::default());
        for (second, (kind, text)) in (0..).zip(records) {
            printer
                .print(&LogRecord {
                    time: NOON + Duration::from_secs(second),
                    stream: if kind.eq_ignore_ascii_case(&'o') { Stream::Stdout } else { Stream::Stderr },
                    partial: kind.is_ascii_lowercase(),
                    text: text.as_bytes(),
                })
                .unwrap();
        }
        printer.caught_up().unwrap();
        let of = |wanted| {
            printer
                .output
                .0
                .iter()
                .filter(|(stream, _)| *stream == wanted)
                .map(|(_, text)| text.as_str())
                .collect()
        };
        [of(Stream::Stdout), of(Stream::Stderr)]
    }

    const MIXED: [(char, &str); 6] =
        [('O', "one"), ('o', "tw"), ('E', "err"), ('O', "o"), ('O', "three"), ('o', "end")];

    #[test]
    fn streams_are_told_apart_and_parts_are_joined() {
        assert_eq!(print(Wanted::default(), &MIXED), ["one\ntwo\nthree\nend", "err\n"]);
        let only = Some(Stream::Stderr);
        assert_eq!(print(Wanted { only, ..Wanted::default() }, &MIXED), ["", "err\n"]);
    }

    #[test]
    fn times_stand_before_lines_and_not_before_parts() {
        let wanted = Wanted { timestamps: true, only: Some(Stream::Stdout), ..Wanted::default() };
        let expected = "2024-05-01T12:00:00.000000000Z one\n2024-05-01T12:00:01.000000000Z two\n\
                        2024-05-01T12:00:04.000000000Z three\n2024-05-01T12:00:05.000000000Z end";
        assert_eq!(print(wanted, &MIXED)[0], expected);
    }

    #[test]
    fn a_line_is_as_old_as_its_beginning() {
        let since = Some(NOON + Duration::from_secs(2));
        assert_eq!(print(Wanted { since, ..Wanted::default() }, &MIXED), ["three\nend", "err\n"]);
    }

    #[test]
    fn the_last_lines() {
        let tail = |count| print(Wanted { tail: Some(count), ..Wanted::default() }, &MIXED);
        assert_eq!(tail(0), ["", ""]);
        assert_eq!(tail(2), ["three\nend", ""]);
        assert_eq!(tail(4), ["two\nthree\nend", "err\n"]);
        assert_eq!(tail(100), ["one\ntwo\nthree\nend", "err\n"]);
    }
}

//! Making records of bytes: where lines end, and which of them are too long.

use gantry_record::container_log::{HEADER_BYTES, LogRecord, MAX_TEXT_BYTES, Stream};
use std::io::BufRead;
use std::time::Duration;

/// What becomes of the beginning of a line whose end has not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// It is left where it is.
    Wait,
    /// It becomes a record, and the line's next part another one.
    Cut,
    /// It becomes a record, since there is no more to come.
    Finish,
}

/// What stands before each text that came in one read.
pub(super) struct Headers {
    whole: [u8; HEADER_BYTES],
    part: [u8; HEADER_BYTES],
}

impl Headers {
    /// For what was read from `stream` at `time`.
    pub(super) fn new(time: Duration, stream: Stream) -> Self {
        Self { whole: LogRecord::header(time, stream, false), part: LogRecord::header(time, stream, true) }
    }
}

/// How much became records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Bytes of the input.
    pub(super) bytes: usize,
    /// Records made of them.
    pub(super) records: u64,
}

/// Appends records made of the beginning of `input` to `output`, as many as fit into `limit` bytes, but one at least.
pub(super) fn take(input: &[u8], headers: &Headers, tail: Tail, limit: usize, output: &mut Vec<u8>) -> Taken {
    let mut taken = Taken::default();
    while let Some((text, rest)) = input.get(taken.bytes..).and_then(|rest| first(rest, tail)) {
        let cost = HEADER_BYTES + text.len() + 1;
        if taken.records > 0 && output.len() + cost > limit {
            break;
        }
        let header = if rest == Rest::Follows { &headers.part } else { &headers.whole };
        output.extend_from_slice(header);
        output.extend_from_slice(text);
        output.push(b'\n');
        taken.bytes += text.len() + usize::from(rest == Rest::IsEnded);
        taken.records += 1;
    }
    taken
}

/// How a text is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// By a newline.
    IsEnded,
    /// By more of the line.
    Follows,
    /// By nothing, ever.
    IsNothing,
}

/// The text of the next record.
fn first(input: &[u8], tail: Tail) -> Option<(&[u8], Rest)> {
    // A newline behind the longest text still belongs to it.
    let longest = input.get(..=MAX_TEXT_BYTES).unwrap_or(input);
    // Of all that the standard library offers for finding a byte, this is what uses vector instructions. Reading
    // from a slice has no way to fail.
    let (line, _) = longest.split_at(Clone::clone(&longest).skip_until(b'\n').unwrap_or_default());
    if let Some(text) = line.strip_suffix(b"\n") {
        return Some((text, Rest::IsEnded));
    }
    if longest.len() > MAX_TEXT_BYTES {
        return Some((longest.get(..MAX_TEXT_BYTES)?, Rest::Follows));
    }
    match tail {
        _ if input.is_empty() => None,
        Tail::Wait => None,
        Tail::Cut => Some((input, Rest::Follows)),
        Tail::Finish => Some((input, Rest::IsNothing)),
    }
}

/// Whether `input` begins with just the `bytes` that `records` were made of.
pub(super) fn are_of(records: &[u8], bytes: usize, input: &[u8]) -> bool {
    let Some(mut rest) = input.get(..bytes) else { return false };
    for line in records.split_inclusive(|byte| *byte == b'\n') {
        let Some(record) = LogRecord::parse(line) else { return false };
        let Some(behind) = rest.strip_prefix(record.text) else { return false };
        // The last line of all may have had no newline.
        rest = match behind.split_first() {
            Some((b'\n', behind)) if !record.partial => behind,
            Some(_) if !record.partial => return false,
            _ => behind,
        };
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = MAX_TEXT_BYTES;

    fn headers() -> Headers {
        Headers::new(Duration::ZERO, Stream::Stdout)
    }

    /// All records of the input as tag and length, and how many bytes they took.
    fn records(input: &[u8], tail: Tail) -> (Vec<(char, usize)>, usize) {
        let mut output = Vec::new();
        let taken = take(input, &headers(), tail, usize::MAX, &mut output);
        let lines = output.split_inclusive(|byte| *byte == b'\n').map(|line| {
            let record = LogRecord::parse(line).unwrap();
            (if record.partial { 'P' } else { 'F' }, record.text.len())
        });
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines.len() as u64, taken.records);
        assert!(are_of(&output, taken.bytes, input));
        (lines, taken.bytes)
    }

    #[test]
    fn lines_become_records() {
        assert_eq!(records(b"", Tail::Finish), (vec![], 0));
        assert_eq!(records(b"one\n\nthree\n", Tail::Wait), (vec![('F', 3), ('F', 0), ('F', 5)], 11));
    }

    #[test]
    fn an_unfinished_line_waits_or_is_cut_or_is_the_last() {
        assert_eq!(records(b"one\ntw", Tail::Wait), (vec![('F', 3)], 4));
        assert_eq!(records(b"one\ntw", Tail::Cut), (vec![('F', 3), ('P', 2)], 6));
        assert_eq!(records(b"one\ntw", Tail::Finish), (vec![('F', 3), ('F', 2)], 6));
        assert_eq!(records(b"one\n", Tail::Finish), (vec![('F', 3)], 4));
    }

    #[test]
    fn long_lines_go_on_in_the_next_record() {
        let line = |length| [vec![b'x'; length], vec![b'\n']].concat();
        assert_eq!(records(&line(MAX), Tail::Wait), (vec![('F', MAX)], MAX + 1));
        assert_eq!(records(&line(MAX + 1), Tail::Wait), (vec![('P', MAX), ('F', 1)], MAX + 2));
        assert_eq!(records(&line(2 * MAX), Tail::Wait), (vec![('P', MAX), ('F', MAX)], 2 * MAX + 1));
        // As long as the newline may be the very next byte, nobody knows.
        assert_eq!(records(&vec![b'x'; MAX], Tail::Wait), (vec![], 0));
        assert_eq!(records(&vec![b'x'; MAX + 1], Tail::Wait), (vec![('P', MAX)], MAX));
        assert_eq!(records(&vec![b'x'; MAX + 1], Tail::Finish), (vec![('P', MAX), ('F', 1)], MAX + 1));
    }

    #[test]
    fn a_limit_is_kept_but_for_the_first_record() {
        let mut output = Vec::new();
        let limit = 2 * (HEADER_BYTES + 2);
        let taken = take(b"a\nb\nc\n", &headers(), Tail::Wait, limit, &mut output);
        assert_eq!((taken, output.len()), (Taken { bytes: 4, records: 2 }, limit));
        output.clear();
        assert_eq!(take(b"a\nb\n", &headers(), Tail::Wait, 1, &mut output), Taken { bytes: 2, records: 1 });
    }

    #[test]
    fn what_was_logged_is_told_from_what_was_not() {
        let mut output = Vec::new();
        let taken = take(b"tick\ntock\n", &headers(), Tail::Wait, usize::MAX, &mut output);
        assert!(are_of(&output, taken.bytes, b"tick\ntock\nmore"));
        for other in [&b"tick\ntuck\n"[..], b"tick\n", b"", b"tick\ntock"] {
            assert!(!are_of(&output, taken.bytes, other));
        }
    }
}

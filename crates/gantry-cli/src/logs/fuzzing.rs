//! See [`crate::fuzzing`].
#![allow(clippy::unwrap_used, reason = "a panic is how a fuzz target says that it has found something")]

use gantry_record::container_log::{LogRecord, Stream};

use super::printer::{Output, Printer, Wanted};
use crate::error::Error;

#[derive(Default)]
struct Collected([Vec<u8>; 2]);

impl Output for &mut Collected {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Error> {
        self.0[usize::from(stream == Stream::Stderr)].extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

pub(crate) fn print(bytes: &[u8]) {
    let records: Vec<LogRecord<'_>> =
        bytes.split_inclusive(|byte| *byte == b'\n').filter_map(LogRecord::parse).collect();
    let printed = |wanted: Wanted| {
        let mut collected = Collected::default();
        let mut printer = Printer::with(wanted, &mut collected);
        records.iter().for_each(|record| printer.print(record).unwrap());
        printer.caught_up().unwrap();
        collected.0
    };
    let [stdout, stderr] = printed(Wanted::default());
    let mut written = Collected::default();
    for record in &records {
        (&mut written).write(record.stream, record.text).unwrap();
        (&mut written).write(record.stream, if record.partial { b"" } else { b"\n" }).unwrap();
    }
    assert_eq!([&stdout, &stderr], [&written.0[0], &written.0[1]]);
    // The last lines are the end of what there is, and one stream alone is what it was beside the other.
    for only in [Stream::Stdout, Stream::Stderr] {
        let all = if only == Stream::Stdout { &stdout } else { &stderr };
        let tail = printed(Wanted { only: Some(only), tail: Some(2), ..Wanted::default() });
        let tail = &tail[usize::from(only == Stream::Stderr)];
        assert!(all.ends_with(tail));
        assert!(tail.iter().filter(|byte| **byte == b'\n').count() <= 2 || records.iter().any(has_newline));
        let with_times = printed(Wanted { only: Some(only), timestamps: true, ..Wanted::default() });
        assert!(with_times[usize::from(only == Stream::Stderr)].len() >= all.len());
    }
}

fn has_newline(record: &LogRecord<'_>) -> bool {
    record.text.contains(&b'\n')
}

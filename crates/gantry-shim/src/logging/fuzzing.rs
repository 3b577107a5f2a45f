//! See [`crate::fuzzing`].
#![allow(clippy::expect_used, reason = "a panic is how a fuzz target says that it has found something")]

use super::lines::{Headers, Tail, are_of, take};
use gantry_record::container_log::{LogRecord, MAX_TEXT_BYTES, Stream};
use std::time::Duration;

pub(crate) fn output(bytes: &[u8], limit: usize) {
    let headers = Headers::new(Duration::from_secs(951_827_696), Stream::Stdout);
    for tail in [Tail::Wait, Tail::Cut, Tail::Finish] {
        let mut log = Vec::new();
        let taken = take(bytes, &headers, tail, limit, &mut log);
        let mut written = Vec::new();
        let mut records = 0;
        for line in log.split_inclusive(|byte| *byte == b'\n') {
            let record = LogRecord::parse(line).expect("a line of a log is a record");
            assert!(record.text.len() <= MAX_TEXT_BYTES);
            written.extend_from_slice(record.text);
            written.extend_from_slice(if record.partial { b"" } else { b"\n" });
            records += 1;
        }
        assert_eq!(records, taken.records);
        assert!(log.len() <= limit || records == 1);
        let input = bytes.get(..taken.bytes).expect("no more is taken than there is");
        // A last line without its newline gets one.
        assert!(written == input || tail == Tail::Finish && written.strip_suffix(b"\n") == Some(input));
        assert!(are_of(&log, taken.bytes, bytes));
        if limit == usize::MAX && tail != Tail::Wait {
            assert_eq!(taken.bytes, bytes.len());
        }
    }
}

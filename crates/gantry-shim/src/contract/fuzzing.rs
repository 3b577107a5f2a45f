//! See [`crate::fuzzing`].

use super::control::Line;
use gantry_record::control::{ControlMessage, MAX_LINE_BYTES};

pub(crate) fn control(bytes: &[u8]) {
    let mut line = Line::default();
    let mut messages = Vec::new();
    for byte in bytes {
        messages.extend(line.push(*byte));
        assert!(line.len() <= MAX_LINE_BYTES);
    }
    // What is asked for depends on whole lines alone, and the longest ones mean nothing.
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
    let expected: Vec<_> =
        lines.filter(|line| line.len() <= MAX_LINE_BYTES).filter_map(ControlMessage::decode).collect();
    assert_eq!(messages, expected);
}

//! See [`crate::fuzzing`].
#![allow(clippy::unwrap_used, reason = "a panic is how a fuzz target says that it has found something")]

use super::{Event, file};

pub(crate) fn log(bytes: &[u8]) {
    let contents = file::read_from(bytes).unwrap();
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').count();
    assert_eq!(contents.events.len() + contents.damaged_lines, lines);
    let written: Vec<u8> = contents.events.iter().flat_map(file::encode).collect();
    let again = file::read_from(written.as_slice()).unwrap();
    assert_eq!((&again.events, again.damaged_lines), (&contents.events, 0));
    // As the writer goes on after a restart.
    if let Some(last) = contents.events.into_iter().max_by_key(|event| event.timestamp) {
        let next = Event { timestamp: last.timestamp.next(), ..last };
        assert_eq!(file::read_from(file::encode(&next).as_slice()).unwrap().events, [next]);
    }
}

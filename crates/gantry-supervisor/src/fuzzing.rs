//! What fuzz targets do with this crate's private parsers. Each function takes any bytes and panics where a promise is broken.
#![allow(clippy::unwrap_used, reason = "a panic is how a fuzz target says that it has found something")]

use crate::ended::{Ended, Records};
use crate::events::{self, Timestamp};
use gantry_record::{ContainerId, StateDir};
use std::path::Path;

/// `events.log`: whatever stands in it, what was understood can be written again and says the same, and a next event has
/// a time that can be written too.
pub fn event_log(bytes: &[u8]) {
    events::fuzzing::log(bytes);
}

/// `ended.log` in the folder `state`: it never holds more than it may, and takes another record whatever it was.
pub fn ended_log(state: &Path, bytes: &[u8]) {
    let state = StateDir::new(state);
    std::fs::write(state.ended_log(), bytes).unwrap();
    let records = Records::open(&state).unwrap();
    let before = records.all();
    let id = ContainerId::new("fuzz").unwrap();
    let ended = Ended { id: id.to_string(), status: 7, ..Ended::default() };
    records.write(&ended).unwrap();
    let again = Records::open(&state).unwrap();
    assert_eq!(again.read(&id).unwrap(), Some(ended));
    let kept = again.all();
    for record in before.iter().filter(|record| record.id != id.as_str()) {
        assert!(kept.contains(record), "{record:?} is lost");
    }
    again.remove(&id).unwrap();
    assert_eq!(Records::open(&state).unwrap().read(&id).unwrap(), None);
}

/// A time of RFC 3339: what is read can be written and has a place on the wire, and so has the next one. Returns seconds and
/// nanoseconds, for comparing.
#[must_use]
pub fn timestamp(text: &str) -> Option<(i64, i32)> {
    let time = Timestamp::parse(text)?;
    for time in [time, time.next()] {
        assert_eq!(Timestamp::parse(&time.to_string()), Some(time), "{text}");
        let (seconds, nanos) = time.to_parts();
        assert_eq!(Timestamp::from_parts(seconds, nanos), Some(time), "{text}");
    }
    Some(time.to_parts())
}

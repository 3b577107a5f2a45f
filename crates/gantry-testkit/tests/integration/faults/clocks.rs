//! A clock that is set back, or was once far ahead: events keep their order, and whoever resumes after one misses nothing.

use super::daemon;
use crate::support::{Api, KILLED, SIGKILL, assert_starts_and_exits_match, create_request};
use gantry_testkit::Daemon;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Notes an event as a daemon would have whose clock said `time`.
fn note(daemon: &Daemon, time: &str) {
    let mut log =
        OpenOptions::new().append(true).create(true).open(daemon.state_dir().join("events.log")).unwrap();
    writeln!(log, r#"{{"id":"before","type":"start-container","timestamp":"{time}"}}"#).unwrap();
}

#[test]
fn a_clock_that_was_set_back_disturbs_no_order() {
    let mut daemon = daemon();
    daemon.terminate();
    // An hour ahead of what this one's clock says.
    let hour = SystemTime::now() + Duration::from_secs(3600);
    let text = gantry_record::timestamp::format(hour.duration_since(UNIX_EPOCH).unwrap());
    note(&daemon, std::str::from_utf8(&text).unwrap());
    daemon.restart();

    let api = Api::connect(&daemon);
    let ahead = api.stored_events(None).last().unwrap().timestamp.unwrap();
    let mut live = api.events();
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    api.create(create_request(&bundle)).unwrap();
    api.signal(bundle.id(), "init", SIGKILL).unwrap();
    assert_eq!(live.exit_of(bundle.id(), "init"), KILLED);
    let after = api.stored_events(Some(ahead));
    assert_eq!(
        after.iter().map(|event| event.r#type.as_str()).collect::<Vec<_>>(),
        ["start-container", "exit"]
    );
    let times: Vec<_> =
        api.stored_events(None).iter().map(|event| event.timestamp.map(|t| (t.seconds, t.nanos))).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    daemon.kill_hard();
    daemon.restart();
    assert_starts_and_exits_match(&Api::connect(&daemon).stored_events(Some(ahead)));
}

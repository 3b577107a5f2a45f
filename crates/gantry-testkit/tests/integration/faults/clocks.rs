//! A clock that was set back: what is in the log is of the future.

use super::daemon;
use crate::support::{Api, assert_starts_and_exits_match};
use gantry_testkit::{DaemonOptions, Runtime, Scratch};
use std::fs;

/// Strictly increasing times are what a client resumes by, so new events come right after the latest one, until the clock
/// has passed that. One of the very end of time has none after it: those events keep their order, and a new one replaces
/// it only by being trimmed away.
#[test]
fn after_a_jump_back_events_stay_in_order_and_can_be_resumed() {
    let future = "2199-01-01T00:00:00.000000001Z";
    let scratch = Scratch::new();
    let state = scratch.path().join("state");
    fs::create_dir(&state).unwrap();
    let line =
        |kind, rest| format!("{{\"id\":\"old\",\"type\":\"{kind}\",\"timestamp\":\"{future}\"{rest}}}\n");
    let exit = line("exit", ",\"pid\":\"init\",\"status\":3");
    fs::write(state.join("events.log"), line("start-container", "") + &exit).unwrap();
    let mut daemon = gantry_testkit::Daemon::start_in(&scratch, DaemonOptions::new(Runtime::BuiltIn));
    for round in 0..2 {
        let api = Api::connect(&daemon);
        let mut events = api.events();
        let bundle = daemon.bundle().shell("exit 7").build();
        api.run_short(&bundle);
        assert_eq!(events.exit_of(bundle.id(), "init"), 7);
        let stored = api.stored_events(None);
        assert_eq!(stored.len(), 4 + 2 * round);
        assert_starts_and_exits_match(&stored);
        let times: Vec<_> =
            stored.iter().map(|e| e.timestamp.unwrap()).map(|t| (t.seconds, t.nanos)).collect();
        assert!(times[1..].is_sorted_by(|a, b| a < b), "{times:?}");
        for (number, event) in stored.iter().enumerate().skip(1) {
            assert_eq!(api.stored_events(event.timestamp), stored[number + 1..]);
        }
        if round == 0 {
            daemon.kill_hard();
            daemon.restart();
        }
    }
}

/// Without a log of the future, events have the time that it is.
#[test]
fn a_log_of_the_past_takes_nothing_from_the_clock() {
    let daemon = daemon();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let bundle = daemon.bundle().args(["true"]).build();
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    api.run_short(&bundle);
    let seconds = events.next().timestamp.unwrap().seconds;
    assert!(u64::try_from(seconds).unwrap() >= before);
}

//! The daemon is killed again and again under load, and afterwards the event log says what really happened: each start
//! and exit once, in order, with its true status.
//!
//! Each process leaves a witness of its own, a file that it writes when it begins and when it is about to end, and has a
//! status of its own; what the log says of it is compared with both. `GANTRY_KILLS` says how often the daemon is killed,
//! `GANTRY_RANDOM_SEED` when.

mod load;
mod reader;
mod truth;

use crate::support::{Api, Random, SOON, assert_starts_and_exits_match, from_environment};
use gantry_testkit::{Daemon, DaemonOptions, Leaks, Runtime, wait_until};
use load::Load;
use reader::Reader;
use std::thread;
use std::time::{Duration, Instant};
use truth::Truth;

/// For CI; 200 are for a machine that is not waited for.
const KILLS: usize = 40;
/// The most calls that a daemon lives to answer; and how long it lives on then, so that the kill comes at any step.
const ANSWERS: usize = 20;
const LIFE_MS: usize = 15;
/// How many of a hundred answer none: they are killed while they restore what the one before has left.
const EARLY_PERCENT: usize = 30;
const EARLY_LIFE_MS: usize = 60;

#[test]
fn no_kill_of_the_daemon_loses_or_invents_an_event() {
    let kills = from_environment("GANTRY_KILLS", KILLS);
    let seed = from_environment("GANTRY_RANDOM_SEED", 1);
    println!("GANTRY_RANDOM_SEED={seed} GANTRY_KILLS={kills}");
    let mut random = Random::new(seed);
    // All events are kept: the log is the whole story.
    let options = DaemonOptions::new(Runtime::BuiltIn).arg("--retain-count").arg("0");
    let mut daemon = Daemon::start(options);
    let leaks = Leaks::snapshot(daemon.scratch());
    let began = Instant::now();
    let reader = Reader::start(&daemon);
    let load = Load::start(&daemon, seed);
    for _ in 1..kills {
        let early = random.chance(EARLY_PERCENT);
        let life = random.below(if early { EARLY_LIFE_MS } else { LIFE_MS });
        if !early {
            load.wait_for_answers(random.below(ANSWERS));
        }
        // Not a wait for anything: when the kill comes is what is being varied.
        thread::sleep(Duration::from_millis(u64::try_from(life).unwrap()));
        daemon.kill_hard();
        daemon.restart_without_waiting();
    }
    daemon.kill_hard();
    daemon.restart();
    let processes = load.stop();
    let api = Api::connect(&daemon);
    wait_until("the end of all containers", SOON, || api.state("").unwrap().is_empty());

    let events = api.stored_events(None);
    println!(
        "{} events of {} processes, {kills} kills in {:.1?}",
        events.len(),
        processes.len(),
        began.elapsed()
    );
    assert_starts_and_exits_match(&events);
    println!("{}", Truth::of(&processes).compare(&events));
    // Who resumes after the last event that he has seen gets each event once.
    reader.has_read(&events);
    leaks.assert_clean();
}

//! Clients and surroundings that want the daemon's ruin, or behave as if they did. docs/threat-model.md has the answer to
//! each.

mod bundles;
mod names;
mod state_dir;
mod streams;
mod wire;

use gantry_testkit::Daemon;
use std::fs;

/// The most that a daemon may come to have in memory, in KB, whatever it is sent: far more than it needs for itself, far
/// less than what the tests here try to make it take.
const MEMORY_KB: u64 = 160 << 10;

/// What the daemon has had in memory at most, in KB (`proc_pid_status(5)`).
fn peak_kb(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[track_caller]
fn assert_small(daemon: &Daemon) {
    let peak = peak_kb(daemon);
    assert!(peak < MEMORY_KB, "the daemon had {peak} KB in memory");
}

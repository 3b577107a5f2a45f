//! The state dir is full, or gone, when a container ends: its status is told all the same, by another way.

use super::daemon;
use crate::support::{
    Api, KILLED, SIGKILL, SOON, SmallDisk, assert_starts_and_exits_match, host_process, shim_of,
};
use gantry_testkit::{Daemon, DaemonOptions, Leaks, Runtime, wait_until};
use std::ffi::CStr;
use std::fs::{self};

const SIZE: &CStr = c"size=512k,mode=0700";

const SCRIPT: &str = "read line; exit 43";

#[test]
fn on_a_full_disk_the_status_comes_through_the_fifo() {
    let state = SmallDisk::new(SIZE);
    let daemon = Daemon::start_in(&state.scratch, DaemonOptions::new(Runtime::BuiltIn));
    let bundle = daemon.bundle().shell(SCRIPT).build();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let stdio = super::fifos(&bundle, "init");
    super::run_with(&api, &bundle, &stdio);
    state.fill();
    stdio.stdin.write("go\n");
    let told = "the shim could not write the exit status and told it through the exit FIFO";
    wait_until("the log says which way it took", SOON, || daemon.log().contains(told));
    state.make_room();
    assert_eq!(events.exit_of(bundle.id(), "init"), 43);
    assert!(api.find(bundle.id()).is_none());
}

#[test]
fn a_kill_on_a_full_disk_loses_no_status_and_doubles_none() {
    let state = SmallDisk::new(SIZE);
    let mut daemon = Daemon::start_in(&state.scratch, DaemonOptions::new(Runtime::BuiltIn));
    let bundle = daemon.bundle().shell(SCRIPT).build();
    let other = daemon.bundle().args(["sleep", "1000"]).build();
    let api = Api::connect(&daemon);
    let live = api.events();
    let stdio = super::fifos(&bundle, "init");
    let init = super::run_with(&api, &bundle, &stdio);
    let shim = shim_of(&init);
    api.run(&other);
    state.fill();
    stdio.stdin.write("go\n");
    assert!(shim.ends_within(SOON), "a daemon has read the status");
    for _ in 0..2 {
        wait_until("the daemon waits for room", SOON, || {
            daemon.log().contains("how the container ended cannot be written down")
        });
        // It serves all the same.
        assert!(Api::connect(&daemon).find(other.id()).is_some());
        daemon.kill_hard();
        fs::write(daemon.scratch().path().join("gantryd.log"), "").unwrap();
        daemon.restart();
    }
    let told = live.rest().iter().filter(|event| event.r#type == "exit").count();
    assert_eq!(told, 0, "told of an exit that was on no disk");
    state.make_room();
    let api = Api::connect(&daemon);
    assert_eq!(api.events_from_the_start().exit_of(bundle.id(), "init"), 43);
    assert_eq!(api.ended(bundle.id()).unwrap().status, 43);
    api.signal(other.id(), "init", SIGKILL).unwrap();
    assert_eq!(api.events_from_the_start().exit_of(other.id(), "init"), KILLED);
    daemon.kill_hard();
    daemon.restart();
    let api = Api::connect(&daemon);
    assert_starts_and_exits_match(&api.stored_events(None));
    assert_eq!(api.ended(bundle.id()).unwrap().status, 43);
}

#[test]
fn a_full_disk_and_no_daemon_wait_for_either() {
    for room_comes_first in [true, false] {
        let state = SmallDisk::new(SIZE);
        let mut daemon = Daemon::start_in(&state.scratch, DaemonOptions::new(Runtime::BuiltIn));
        let bundle = daemon.bundle().shell(SCRIPT).build();
        let api = Api::connect(&daemon);
        let stdio = super::fifos(&bundle, "init");
        let init = super::run_with(&api, &bundle, &stdio);
        let shim = shim_of(&init);
        state.fill();
        daemon.kill_hard();
        stdio.stdin.write("go\n");
        assert!(init.ends_within(SOON));
        let init_folder = state.path.join(bundle.id()).join("init");
        if room_comes_first {
            state.make_room();
            wait_until("the status on the disk", SOON, || {
                fs::read_to_string(init_folder.join("exitStatus")).is_ok_and(|text| text == "43")
            });
            assert!(shim.ends_within(SOON));
        }
        daemon.restart();
        if !room_comes_first {
            let told = "told it through the exit FIFO";
            wait_until("the daemon has the status", SOON, || daemon.log().contains(told));
            state.make_room();
        }
        let api = Api::connect(&daemon);
        let mut events = api.events_from_the_start();
        assert_eq!(events.exit_of(bundle.id(), "init"), 43, "room comes first: {room_comes_first}");
        assert!(shim.ends_within(SOON));
    }
}

#[test]
fn without_its_folder_a_container_still_ends_with_its_status() {
    let daemon = daemon();
    let bundle = daemon.bundle().shell(SCRIPT).build();
    let leaks = Leaks::snapshot(daemon.scratch());
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let stdio = super::fifos(&bundle, "init");
    let container = api.create_with(&bundle, &stdio).unwrap();
    let shim = shim_of(&host_process(container.processes[0].system_pid));
    fs::remove_dir_all(daemon.state_dir().join(bundle.id())).unwrap();
    stdio.stdin.write("go\n");
    assert_eq!(events.exit_of(bundle.id(), "init"), 43);
    assert!(daemon.log().contains("told it through the exit FIFO"));
    assert!(shim.ends_within(SOON) && api.find(bundle.id()).is_none());
    leaks.assert_clean();
    // The id is free again.
    let other = daemon.bundle().args(["true"]).build();
    api.run_short(&other);
    assert_eq!(events.exit_of(other.id(), "init"), 0);
}

//! The state dir on a disk that is full, has no inodes, or is read-only.

use super::{assert_told_once, assert_works, ends_with};
use crate::support::{Api, SOON, SmallDisk, create_request};
use gantry_api::types::CreateContainerRequest;
use gantry_testkit::{Daemon, DaemonOptions, Leaks, Runtime, finish, wait_until};
use rustix::mount::{MountFlags, mount_remount};
use std::collections::BTreeMap;
use std::fs::{self, File};
use tonic::Code;

fn small() -> SmallDisk {
    SmallDisk::new(c"size=1m,mode=0700")
}

fn start(disk: &SmallDisk) -> Daemon {
    Daemon::start_in(&disk.scratch, DaemonOptions::new(Runtime::BuiltIn))
}

#[test]
fn a_create_on_a_full_disk_fails_clearly_and_leaves_nothing() {
    let disk = small();
    let daemon = start(&disk);
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["true"]).build();
    disk.fill();
    let leaks = Leaks::snapshot(daemon.scratch());
    for _ in 0..3 {
        let error = api.create(create_request(&bundle)).unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
        assert!(error.message().contains("no space left on device"), "{error:?}");
        leaks.assert_clean();
        assert_eq!(api.state("").unwrap().len(), 0);
    }
    disk.make_room();
    assert_works(&api, &bundle);
}

/// Some with long ids, so that a few events fill a page.
fn many(daemon: &Daemon, api: &Api) -> BTreeMap<String, u32> {
    let mut expected = BTreeMap::new();
    for number in 0..8_u32 {
        let bundle = daemon.bundle().shell(&ends_with(20 + number)).build();
        let id = format!("{number:0>250}");
        api.create(CreateContainerRequest { id: id.clone(), ..create_request(&bundle) }).unwrap();
        expected.insert(id, 20 + number);
    }
    expected
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Meanwhile {
    Nothing,
    Killed,
    Stopped,
}

fn exits_on_a_full_disk(meanwhile: Meanwhile) {
    let disk = small();
    let mut daemon = start(&disk);
    let mut api = Api::connect(&daemon);
    let expected = many(&daemon, &api);
    disk.fill();
    let mut events = api.events();
    // Until its last page is full too.
    let first = expected.keys().next().unwrap();
    let mut paused = false;
    wait_until("the log has to wait", SOON, || {
        paused = !paused;
        api.set_paused(first, paused).unwrap();
        daemon.log().contains("the event log cannot be written")
    });
    if paused {
        api.set_paused(first, false).unwrap();
    }
    for id in expected.keys() {
        api.signal(id, "init", 15).unwrap();
    }
    wait_until("all are off the list", SOON, || api.state("").unwrap().is_empty());
    // Others are served, and nothing is begun that could not be told.
    assert_eq!(api.health("").unwrap(), 1);
    let bundle = daemon.bundle().args(["true"]).build();
    let error = api.create(create_request(&bundle)).unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
    assert!(error.message().contains("events.log: no space left on device"), "{error:?}");
    match meanwhile {
        Meanwhile::Nothing => {}
        Meanwhile::Killed => daemon.kill_hard(),
        Meanwhile::Stopped => assert!(daemon.terminate().success()),
    }
    if meanwhile != Meanwhile::Nothing {
        // It comes up although the disk is still full, and answers.
        daemon.restart();
        api = Api::connect(&daemon);
        api.state("").unwrap();
        events = api.events_from_the_start();
    }
    disk.make_room();
    assert_told_once(&api, &mut events, &expected);
    assert_works(&api, &bundle);
    wait_until("nothing waits", SOON, || !disk.path.join("@ended").exists());
}

#[test]
fn exits_on_a_full_disk_are_told_once_when_there_is_room() {
    exits_on_a_full_disk(Meanwhile::Nothing);
}

#[test]
fn exits_on_a_full_disk_outlive_the_kill_of_the_daemon() {
    exits_on_a_full_disk(Meanwhile::Killed);
}

#[test]
fn a_daemon_that_waits_for_its_disk_stops_and_the_next_one_tells() {
    exits_on_a_full_disk(Meanwhile::Stopped);
}

#[test]
fn a_record_that_a_full_disk_has_torn_costs_no_other() {
    let disk = small();
    let mut daemon = start(&disk);
    let api = Api::connect(&daemon);
    let expected = many(&daemon, &api);
    disk.fill();
    let mut events = api.events();
    for id in expected.keys() {
        api.signal(id, "init", 15).unwrap();
    }
    wait_until("no record can be written", SOON, || {
        daemon.log().contains("how the container ended cannot be written down")
    });
    wait_until("all are off the list", SOON, || api.state("").unwrap().is_empty());
    let stored = fs::read(disk.path.join("ended.log")).unwrap_or_default();
    assert!(stored.is_empty() || stored.ends_with(b"\n"), "a torn line is left");
    disk.make_room();
    assert_told_once(&api, &mut events, &expected);
    // The last report sees to the records.
    wait_until("all records are on the disk", SOON, || {
        let text = fs::read_to_string(disk.path.join("ended.log")).unwrap_or_default();
        expected.keys().all(|id| text.contains(id))
    });
    daemon.kill_hard();
    daemon.restart();
    let api = Api::connect(&daemon);
    for (id, status) in &expected {
        assert_eq!(api.ended(id).unwrap().status, *status);
    }
}

#[test]
fn without_inodes_a_create_fails_clearly_and_exits_are_told() {
    let disk = SmallDisk::new(c"size=4m,nr_inodes=200,mode=0700");
    let daemon = start(&disk);
    let api = Api::connect(&daemon);
    let running = daemon.bundle().shell(&ends_with(41)).build();
    api.run(&running);
    let fillers = disk.path.join("@fillers");
    fs::create_dir(&fillers).unwrap();
    let mut number = 0;
    while File::create(fillers.join(number.to_string())).is_ok() {
        number += 1;
    }
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["true"]).build();
    let error = api.create(create_request(&bundle)).unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
    assert!(error.message().contains("no space left on device"), "{error:?}");
    leaks.assert_clean();
    let mut events = api.events();
    api.signal(running.id(), "init", 15).unwrap();
    // Not before there is an inode for the record of its end.
    wait_until("it is off the list", SOON, || api.find(running.id()).is_none());
    fs::remove_dir_all(fillers).unwrap();
    assert_eq!(events.exit_of(running.id(), "init"), 41);
    wait_until("its folder is gone", SOON, || !disk.path.join(running.id()).exists());
    assert_works(&api, &bundle);
}

#[test]
fn a_read_only_state_dir_is_named_and_a_writable_one_is_taken_up() {
    let disk = small();
    let mut daemon = start(&disk);
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["true"]).build();
    assert_works(&api, &bundle);
    assert!(daemon.terminate().success());
    // The parent of shims goes with the daemon, and a file system with files open for writing stays as it is.
    wait_until("nobody writes", SOON, || mount_remount(&disk.path, MountFlags::RDONLY, c"").is_ok());
    let ended = finish(&mut daemon.command(), SOON);
    assert!(!ended.status.success());
    let text = format!("{}{}", ended.stdout, ended.stderr);
    assert!(text.contains("ead-only file system") && text.contains(disk.path.to_str().unwrap()), "{text}");
    mount_remount(&disk.path, MountFlags::empty(), c"").unwrap();
    daemon.restart();
    assert_works(&Api::connect(&daemon), &daemon.bundle().args(["true"]).build());
}

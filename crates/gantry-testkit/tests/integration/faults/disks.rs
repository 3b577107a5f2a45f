//! State dirs without room, without inodes, or read-only. How an exit gets through is in `shim/damage.rs`.

use crate::support::{Api, KILLED, SIGKILL, SOON, assert_starts_and_exits_match, create_request};
use gantry_testkit::{Daemon, DaemonOptions, Leaks, Runtime, Scratch, wait_until};
use rustix::mount::{MountFlags, mount, mount_remount};
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use tonic::Code;

/// A state dir on a file system of its own, which the scratch unmounts at its end.
struct Disk {
    scratch: Arc<Scratch>,
    path: PathBuf,
}

impl Disk {
    fn new(options: &std::ffi::CStr) -> Self {
        let scratch = Scratch::new();
        let path = scratch.path().join("state");
        fs::create_dir(&path).unwrap();
        mount("none", &path, "tmpfs", MountFlags::empty(), options).unwrap();
        Self { scratch, path }
    }

    fn daemon(&self) -> Daemon {
        Daemon::start_in(&self.scratch, DaemonOptions::new(Runtime::BuiltIn))
    }

    fn fill(&self) {
        let mut file = File::create(self.path.join("@filler")).unwrap();
        while file.write(&[0; 4096]).is_ok() {}
    }

    fn empty(&self) {
        fs::remove_file(self.path.join("@filler")).unwrap();
    }
}

const SMALL: &std::ffi::CStr = c"size=512k,mode=0700";

#[test]
fn a_start_on_a_full_disk_says_so_and_leaves_nothing() {
    let disk = Disk::new(SMALL);
    let daemon = disk.daemon();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let running = daemon.bundle().args(["sleep", "1000"]).build();
    api.create(create_request(&running)).unwrap();
    disk.fill();
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["true"]).build();
    for _ in 0..3 {
        let error = api.create(create_request(&bundle)).unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
        assert!(error.message().contains("no space left on device"), "{error:?}");
        leaks.assert_clean();
    }
    assert_eq!(api.state("").unwrap().len(), 1);
    disk.empty();
    api.create(create_request(&bundle)).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), 0);
}

#[test]
fn without_inodes_it_is_the_same() {
    let disk = Disk::new(c"nr_inodes=64,size=4m,mode=0700");
    let daemon = disk.daemon();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let running = daemon.bundle().args(["sleep", "1000"]).build();
    api.create(create_request(&running)).unwrap();
    let bundle = daemon.bundle().args(["true"]).build();
    let fillers = disk.path.join("@fillers");
    fs::create_dir(&fillers).unwrap();
    let mut number = 0;
    while File::create(fillers.join(number.to_string())).is_ok() {
        number += 1;
    }
    let leaks = Leaks::snapshot(daemon.scratch());
    let error = api.create(create_request(&bundle)).unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
    leaks.assert_clean();
    api.signal(running.id(), "init", SIGKILL).unwrap();
    wait_until("it is not listed any more", SOON, || api.find(running.id()).is_none());
    fs::remove_dir_all(&fillers).unwrap();
    assert_eq!(events.exit_of(running.id(), "init"), KILLED);
    api.create(create_request(&bundle)).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), 0);
    assert_starts_and_exits_match(&api.stored_events(None));
}

#[test]
fn many_ends_on_a_full_disk_are_told_once_each_in_order() {
    let disk = Disk::new(c"size=1m,mode=0700");
    let mut daemon = disk.daemon();
    let api = Api::connect(&daemon);
    let bundles: Vec<_> = (0..6).map(|_| daemon.bundle().args(["sleep", "1000"]).build()).collect();
    for bundle in &bundles {
        api.create(create_request(bundle)).unwrap();
    }
    disk.fill();
    for bundle in &bundles[..3] {
        api.signal(bundle.id(), "init", SIGKILL).unwrap();
    }
    wait_until("three wait for room", SOON, || api.state("").unwrap().len() == 3);
    daemon.kill_hard();
    daemon.restart();
    let api = Api::connect(&daemon);
    for bundle in &bundles[3..] {
        api.signal(bundle.id(), "init", SIGKILL).unwrap();
    }
    wait_until("all wait for room", SOON, || api.state("").unwrap().is_empty());
    let mut events = api.events_from_the_start();
    disk.empty();
    let mut ended: Vec<_> = (0..6).map(|_| events.next_exit()).collect();
    ended.sort();
    let mut expected: Vec<_> = bundles.iter().map(|bundle| (bundle.id().to_owned(), KILLED)).collect();
    expected.sort();
    assert_eq!(ended, expected);
    for bundle in &bundles {
        assert_eq!(api.ended(bundle.id()).unwrap().status, KILLED);
    }
    daemon.kill_hard();
    daemon.restart();
    let api = Api::connect(&daemon);
    assert_starts_and_exits_match(&api.stored_events(None));
    assert_eq!(api.stored_events(None).len(), 12);
}

/// One that a full disk has torn, as daemons before this one left it.
#[test]
fn a_record_that_a_full_disk_has_torn_costs_no_other() {
    let mut daemon = super::daemon();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let run = |api: &Api, events: &mut crate::support::Events, daemon: &Daemon| {
        let bundle = daemon.bundle().shell("exit 7").build();
        api.create(create_request(&bundle)).unwrap();
        assert_eq!(events.exit_of(bundle.id(), "init"), 7);
        bundle
    };
    let before = run(&api, &mut events, &daemon);
    daemon.kill_hard();
    for log in ["ended.log", "events.log"] {
        let mut log = File::options().append(true).open(daemon.state_dir().join(log)).unwrap();
        log.write_all(br#"{"id":"torn","bun"#).unwrap();
    }
    daemon.restart();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let after = run(&api, &mut events, &daemon);
    daemon.kill_hard();
    daemon.restart();
    let api = Api::connect(&daemon);
    for bundle in [&before, &after] {
        assert_eq!(api.ended(bundle.id()).unwrap().status, 7);
    }
    assert_starts_and_exits_match(&api.stored_events(None));
    assert_eq!(api.stored_events(None).len(), 4);
}

#[test]
fn a_read_only_state_dir_is_refused_at_the_start() {
    let disk = Disk::new(SMALL);
    let mut daemon = disk.daemon();
    let api = Api::connect(&daemon);
    let running = daemon.bundle().args(["sleep", "1000"]).build();
    let init = api.run(&running);
    daemon.terminate();
    drop(api);
    // Its shim's log is open for appending: the kernel refuses a remount while that is so, unless it is forced by a new mount.
    rustix::mount::mount_bind(&disk.path, &disk.path).unwrap();
    mount_remount(&disk.path, MountFlags::BIND | MountFlags::RDONLY, "").unwrap();
    let refused = gantry_testkit::finish(&mut daemon.command(), SOON);
    assert!(refused.code() != 0 && refused.stderr.contains("ead-only file system"), "{refused}");
    assert!(init.is_alive(), "a daemon that does not start harms nobody");
    rustix::mount::unmount(&disk.path, rustix::mount::UnmountFlags::DETACH).unwrap();
    daemon.restart();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    api.signal(running.id(), "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(running.id(), "init"), KILLED);
}

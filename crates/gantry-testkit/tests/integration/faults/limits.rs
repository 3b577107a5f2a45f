//! No descriptors, no processes: starts fail with a reason, what runs goes on, exits are told, and when there is enough again
//! everything works.

use super::daemon;
use crate::support::{Api, KILLED, SIGKILL, create_request};
use gantry_testkit::{Daemon, Leaks};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tonic::Code;

/// Sets a limit of the running daemon; returns what it was.
fn limit(daemon: &Daemon, resource: Resource, to: u64) -> Rlimit {
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    let was = rustix::process::getrlimit(resource);
    prlimit(pid, resource, Rlimit { current: Some(to), maximum: was.maximum }).unwrap()
}

fn restore(daemon: &Daemon, resource: Resource, was: Rlimit) {
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    prlimit(pid, resource, was).unwrap();
}

#[test]
fn without_descriptors_starts_fail_and_the_rest_goes_on() {
    let daemon = daemon();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let bundles: Vec<_> = (0..3).map(|_| daemon.bundle().args(["sleep", "1000"]).build()).collect();
    for bundle in &bundles {
        api.create(create_request(bundle)).unwrap();
    }
    let leaks = Leaks::snapshot(daemon.scratch());
    let open = u64::try_from(daemon.open_fds().len()).unwrap();
    let was = limit(&daemon, Resource::Nofile, open);

    let refused = daemon.bundle().args(["true"]).build();
    let error = api.create(create_request(&refused)).unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
    assert!(error.message().contains("too many open files"), "{error:?}");
    // What is there is listed, and its end is told.
    assert_eq!(api.state("").unwrap().len(), 3);
    api.signal(bundles[0].id(), "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(bundles[0].id(), "init"), KILLED);
    assert_eq!(api.ended(bundles[0].id()).unwrap().status, KILLED);
    // Somebody who knocks meanwhile is heard, at the latest when there is room.
    restore(&daemon, Resource::Nofile, was);
    assert_eq!(Api::connect(&daemon).state("").unwrap().len(), 2);
    api.create(create_request(&refused)).unwrap();
    assert_eq!(events.exit_of(refused.id(), "init"), 0);
    leaks.assert_clean();
}

#[test]
fn a_daemon_that_is_started_with_too_few_descriptors_loses_nobody() {
    let mut daemon = daemon();
    let api = Api::connect(&daemon);
    let bundles: Vec<_> = (0..4).map(|_| daemon.bundle().args(["sleep", "1000"]).build()).collect();
    for bundle in &bundles {
        api.create(create_request(bundle)).unwrap();
    }
    daemon.terminate();
    daemon.restart();
    let api = Api::connect(&daemon);
    assert_eq!(api.state("").unwrap().len(), 4);
    let mut events = api.events();
    for bundle in &bundles {
        api.signal(bundle.id(), "init", SIGKILL).unwrap();
        assert_eq!(events.exit_of(bundle.id(), "init"), KILLED);
    }
}

#[test]
fn without_memory_a_start_fails_and_leaves_nothing() {
    let daemon = daemon();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let running = daemon.bundle().args(["sleep", "1000"]).build();
    api.create(create_request(&running)).unwrap();
    let leaks = Leaks::snapshot(daemon.scratch());
    // No file of any size can be written: as on a disk quota of nothing, but with SIGXFSZ on top of it.
    let was = limit(&daemon, Resource::Fsize, 0);
    let refused = daemon.bundle().args(["true"]).build();
    let error = api.create(create_request(&refused)).unwrap_err();
    assert!(error.message().contains("file too large"), "{error:?}");
    assert_eq!(api.state("").unwrap().len(), 1);
    restore(&daemon, Resource::Fsize, was);
    api.create(create_request(&refused)).unwrap();
    assert_eq!(events.exit_of(refused.id(), "init"), 0);
    leaks.assert_clean();
}

//! SIGSTOP, as a debugger or a freezer sends it, to the daemon, a runtime and a container. For shims see `shim/stopped.rs`.

use super::daemon;
use crate::support::{Api, KILLED, SIGKILL, SOON, create_request, exec_request, host_process};
use gantry_testkit::{Daemon, DaemonOptions, Leaks, Process, Runtime, Scratch, wait_until};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

#[test]
fn what_ends_while_the_daemon_is_stopped_is_told_when_it_goes_on() {
    let daemon = daemon();
    let api = Api::connect(&daemon);
    let leaks = Leaks::snapshot(daemon.scratch());
    let mut events = api.events();
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let init = api.run(&bundle);
    api.add_process(exec_request(bundle.id(), "e1", &["sleep", "1000"])).unwrap();
    let own = Process::of(i32::try_from(daemon.pid()).unwrap()).unwrap();
    own.signal(Signal::STOP);
    init.signal(Signal::KILL);
    assert!(init.ends_within(SOON));
    own.signal(Signal::CONT);
    assert_eq!(events.exit_of(bundle.id(), "e1"), KILLED);
    assert_eq!(events.exit_of(bundle.id(), "init"), KILLED);
    leaks.assert_clean();
}

#[test]
fn a_stopped_container_can_be_ended() {
    let daemon = daemon();
    let api = Api::connect(&daemon);
    let leaks = Leaks::snapshot(daemon.scratch());
    let mut events = api.events();
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let init = api.run(&bundle);
    init.signal(Signal::STOP);
    assert_eq!(api.find(bundle.id()).unwrap().0, "running");
    // Others in it go on.
    api.add_process(exec_request(bundle.id(), "e1", &["sh", "-c", "exit 4"])).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "e1"), 4);
    api.signal(bundle.id(), "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), KILLED);
    leaks.assert_clean();
}

/// A runtime that stops itself at `create`: the start's limit ends it, and others do not wait for it.
#[test]
fn a_stopped_runtime_costs_its_own_start_alone() {
    let scratch = Scratch::new();
    let path = scratch.path().join("stopping-runtime");
    fs::write(&path, "#!/bin/sh\ncase \" $* \" in *' create '*) kill -STOP $$ ;; esac\nexit 1\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let options = DaemonOptions::new(Runtime::BuiltIn).start_timeout(Duration::from_secs(3));
    let daemon = Daemon::start_in(&scratch, options);
    let api = Api::connect(&daemon);
    let leaks = Leaks::snapshot(&scratch);
    let stuck = daemon.bundle().build();
    let request = gantry_api::types::CreateContainerRequest {
        runtime: path.to_str().unwrap().to_owned(),
        ..create_request(&stuck)
    };
    std::thread::scope(|scope| {
        let other = Api::connect(&daemon);
        let starting = scope.spawn(move || other.create(request));
        wait_until("the start has begun", SOON, || api.find(stuck.id()).is_some());
        let mut events = api.events();
        let bundle = daemon.bundle().shell("exit 5").build();
        let container = api.create(create_request(&bundle)).unwrap();
        assert!(host_process(container.processes[0].system_pid).ends_within(SOON));
        assert_eq!(events.exit_of(bundle.id(), "init"), 5);
        let error = starting.join().unwrap().unwrap_err();
        assert!(error.message().contains("did not start before the specified timeout"), "{error:?}");
    });
    leaks.assert_clean();
}

//! The resident parent of shims: its death at any moment harms nobody, and neither does there being none.

use crate::support::{
    Api, KILLED, SIGKILL, SOON, assert_starts_and_exits_match, create_request, each_runtime, exec_request,
    host_process, shim_of,
};
use gantry_testkit::{Binaries, Daemon, DaemonOptions, Leaks, Process, Runtime, wait_for, wait_until};
use rustix::process::Signal;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

each_runtime!(
    starts_go_on_while_it_is_killed_again_and_again,
    what_it_forked_outlives_it_and_the_daemon,
    shims_are_executed_where_that_is_wanted,
);

/// The parent of a daemon, if it runs.
fn resident_of(daemon: &Daemon) -> Option<Process> {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", daemon.pid())).unwrap();
    // Threads of the daemon have children too.
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().flatten();
    let of_tasks = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<i32> = of_tasks
        .chain([children])
        .flat_map(|pids| pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
        .collect();
    let is_resident = |process: &Process| process.command.trim_end() == "gantry-runtime resident";
    pids.into_iter().filter_map(Process::of).find(is_resident)
}

fn is_forked(shim: &Process, resident: &Process) -> bool {
    shim.parent() == Some(resident.pid)
}

fn starts_go_on_while_it_is_killed_again_and_again(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let api = Api::connect(&daemon);
    let over = AtomicBool::new(false);
    let kills = std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut kills = 0_u64;
            while !over.load(Ordering::Relaxed) {
                if let Some(resident) = resident_of(&daemon) {
                    // Each time at another moment of what it does.
                    std::thread::sleep(Duration::from_micros(kills * 1237 % 9000));
                    resident.signal(Signal::KILL);
                    kills += 1;
                }
                std::thread::sleep(Duration::from_millis(40));
            }
            kills
        });
        let mut events = api.events();
        for number in 0..12 {
            let bundle = daemon.bundle().args(["sleep", "1000"]).build();
            let init = api.run(&bundle);
            let exec = api.add_process(exec_request(bundle.id(), "e1", &["sh", "-c", "exit 5"]));
            assert!(exec.is_ok(), "{number}: {exec:?}");
            assert_eq!(events.exit_of(bundle.id(), "e1"), 5, "{number}");
            assert!(init.is_alive(), "{number}");
            api.signal(bundle.id(), "init", SIGKILL).unwrap();
            assert_eq!(events.exit_of(bundle.id(), "init"), KILLED, "{number}");
        }
        over.store(true, Ordering::Relaxed);
        killer.join().unwrap()
    });
    println!("the resident parent was killed {kills} times");
    assert!(kills > 0, "it was never there to be killed");
    assert_starts_and_exits_match(&api.stored_events(None));
    // A parent that was started just now does not count: it is the daemon's.
    wait_until("no parent but the daemon's", SOON, || {
        let parents = daemon.scratch().processes().into_iter();
        parents.filter(|process| process.command.contains("gantry-runtime resident")).count() <= 1
    });
    leaks.assert_clean();
}

fn what_it_forked_outlives_it_and_the_daemon(runtime: Runtime) {
    let mut daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let api = Api::connect(&daemon);
    let init = api.run(&bundle);
    let shim = shim_of(&init);
    let resident = wait_for("a resident parent", SOON, || resident_of(&daemon));
    assert!(is_forked(&shim, &resident), "{shim:?} is no child of {resident:?}");
    assert_eq!(fs::read_to_string(format!("/proc/{}/comm", shim.pid)).unwrap(), "gantry-shim\n");
    let words = [bundle.id(), bundle.path().to_str().unwrap()];
    assert!(words.iter().all(|word| shim.command.split(' ').any(|other| other == *word)), "{shim:?}");

    resident.signal(Signal::KILL);
    assert!(resident.ends_within(SOON));
    assert!(shim.is_alive() && init.is_alive());
    daemon.kill_hard();
    daemon.restart();
    let next = wait_for("another parent", SOON, || resident_of(&daemon));
    daemon.kill_hard();
    assert!(next.ends_within(SOON), "it does not end with its daemon");
    daemon.restart();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    assert!(shim.is_alive() && init.is_alive());
    api.signal(bundle.id(), "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), KILLED);
    leaks.assert_clean();
}

fn shims_are_executed_where_that_is_wanted(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime).arg("--shim-start=exec"));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let shim = shim_of(&api.run(&bundle));
    assert!(resident_of(&daemon).is_none());
    assert!(fs::read_link(format!("/proc/{}/exe", shim.pid)).unwrap().ends_with("gantry-shim"));
    api.signal(bundle.id(), "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), KILLED);
    leaks.assert_clean();
}

/// A parent that is no use: it is told once, and shims are executed.
#[test]
fn a_parent_of_another_version() {
    let folder = tempfile::tempdir().unwrap();
    let binaries = Binaries::locate();
    fs::copy(binaries.shim(), folder.path().join("gantry-shim")).unwrap();
    let other = folder.path().join("gantry-runtime");
    fs::write(&other, "#!/bin/sh\nexit 3\n").unwrap();
    fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let options = DaemonOptions::new(Runtime::BuiltIn).shim(folder.path().join("gantry-shim"));
    let daemon = Daemon::start(options);
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let container = api.create(create_request(&bundle)).unwrap();
    let shim = shim_of(&host_process(container.processes[0].system_pid));
    assert!(fs::read_link(format!("/proc/{}/exe", shim.pid)).unwrap().starts_with(folder.path()));
    assert!(daemon.log().contains("no resident parent for shims"), "{}", daemon.log());
    api.signal(bundle.id(), "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), KILLED);
}

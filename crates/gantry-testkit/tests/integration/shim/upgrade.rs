//! `gantry shim upgrade`: processes go on beside another shim, and nothing of theirs is lost.

use super::{close_stdin, fifos, resize, run_with};
use crate::support::{Api, SIGKILL, SOON, create_request, exec_request, host_process};
use gantry_api::types::{AddProcessRequest, CreateContainerRequest};
use gantry_testkit::{Daemon, DaemonOptions, Leaks, Process, Runtime, wait_for, wait_until};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

fn options(adopt: bool) -> DaemonOptions {
    let options = DaemonOptions::new(Runtime::BuiltIn);
    if adopt { options.arg("--on-shim-death=adopt") } else { options }
}

/// The shim that stands in a process's folder, whoever is the process's parent.
fn shim_beside(daemon: &Daemon, container: &str, process: &str) -> Process {
    let folder = daemon.state_dir().join(container).join(process);
    let stands_there = |process: &Process| {
        process.command.contains("gantry-shim")
            && fs::read_link(format!("/proc/{}/cwd", process.pid)).is_ok_and(|cwd| cwd == folder)
    };
    wait_for("a shim in its place", SOON, || daemon.scratch().processes().into_iter().find(stands_there))
}

/// Upgrades all shims by the command; how many lines it answered, one for each shim.
fn upgrade(daemon: &Daemon) -> usize {
    let finished = daemon.gantry(["shim", "upgrade"]);
    assert!(finished.status.success(), "{}{}", finished.stdout, finished.stderr);
    let lines: Vec<&str> = finished.stdout.lines().skip(1).collect();
    assert!(lines.iter().all(|line| line.contains("replaces")), "{}", finished.stdout);
    lines.len()
}

#[test]
fn it_is_the_installed_one_from_then_on() {
    let scratch = gantry_testkit::Scratch::new();
    let installed = scratch.path().join("gantry-shim");
    let built = gantry_testkit::Binaries::locate().shim();
    fs::copy(&built, &installed).unwrap();
    let daemon = Daemon::start_in(&scratch, options(false).shim(&installed));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    api.run(&bundle);
    api.add_process(exec_request(bundle.id(), "e1", &["sleep", "1000"])).unwrap();
    let before = ["init", "e1"].map(|process| shim_beside(&daemon, bundle.id(), process));
    // As a package manager does it.
    fs::copy(&built, scratch.path().join("new")).unwrap();
    fs::rename(scratch.path().join("new"), &installed).unwrap();
    let inode = fs::metadata(&installed).unwrap().ino();
    let program = |shim: &Process| fs::metadata(format!("/proc/{}/exe", shim.pid)).unwrap().ino();
    assert!(before.iter().all(|shim| program(shim) != inode));
    assert_eq!(upgrade(&daemon), 2);
    let after = ["init", "e1"].map(|process| shim_beside(&daemon, bundle.id(), process));
    assert!(after.iter().all(|shim| program(shim) == inode) && before.iter().all(|shim| !shim.is_alive()));
    // A second time it is one that has taken over itself.
    assert_eq!(upgrade(&daemon), 2);
    api.signal(bundle.id(), "e1", SIGKILL).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "e1"), 137);
    api.signal(bundle.id(), "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), 137);
    leaks.assert_clean();
}

#[test]
fn streams_go_on_without_a_gap() {
    for adopt in [false, true] {
        let daemon = Daemon::start(options(adopt));
        let leaks = Leaks::snapshot(daemon.scratch());
        let script = "(n=0; while test ! -e /stop; do n=$((n + 1)); echo n $n; done) & \
                      while read line; do echo got $line; done; echo > /stop; wait; echo end; exit 42";
        let bundle = daemon.bundle().shell(script).build();
        let stdio = fifos(&bundle, "init");
        let lines = stdio.stdout.lines();
        let api = Api::connect(&daemon);
        let mut events = api.events();
        run_with(&api, &bundle, &stdio);
        let mut last = 0;
        let mut next_other = || loop {
            let line = lines.next(SOON)?;
            let Some(number) = line.strip_prefix("n ") else { return Some(line) };
            assert_eq!(number.parse(), Ok(last + 1), "a gap in the output");
            last += 1;
        };
        for round in ["one", "two", "three"] {
            assert_eq!(upgrade(&daemon), 1);
            stdio.stdin.write(&format!("{round}\n"));
            assert_eq!(next_other(), Some(format!("got {round}")));
        }
        // A client that has its input open still, while nobody else may any more.
        let client = stdio.stdin.writer();
        close_stdin(&api, bundle.id(), "init");
        upgrade(&daemon);
        drop(client);
        assert_eq!(next_other().as_deref(), Some("end"));
        assert_eq!(events.exit_of(bundle.id(), "init"), 42);
        assert_eq!(next_other(), None);
        leaks.assert_clean();
    }
}

#[test]
fn a_terminal_goes_on_without_a_gap() {
    for adopt in [false, true] {
        let daemon = Daemon::start(options(adopt));
        let leaks = Leaks::snapshot(daemon.scratch());
        let script = "stty -opost -echo; n=0; while test ! -e /stop; do n=$((n + 1)); echo n $n; done; \
                      stty size; read line; echo got $line; exit 42";
        let bundle = daemon.bundle().shell(script).terminal(true).build();
        let stdio = fifos(&bundle, "init");
        let lines = stdio.stdout.lines();
        let api = Api::connect(&daemon);
        let mut events = api.events();
        let init = run_with(&api, &bundle, &stdio);
        let mut last = 0;
        for round in 1..=5 {
            assert_eq!(upgrade(&daemon), 1);
            for _ in 0..round * 100 {
                assert_eq!(lines.next(SOON), Some(format!("n {}", last + 1)), "a gap in the output");
                last += 1;
            }
        }
        assert!(init.is_alive());
        resize(&api, bundle.id(), 91);
        upgrade(&daemon);
        fs::write(bundle.rootfs().join("stop"), "").unwrap();
        let size = loop {
            let line = lines.next(SOON).unwrap();
            if !line.starts_with("n ") {
                break line;
            }
            assert_eq!(line, format!("n {}", last + 1), "a gap in the output");
            last += 1;
        };
        assert_eq!(size, "20 91");
        stdio.stdin.write("this\n");
        assert_eq!(lines.next(SOON).as_deref(), Some("got this"));
        assert_eq!(events.exit_of(bundle.id(), "init"), 42);
        assert_eq!(lines.next(SOON), None);
        leaks.assert_clean();
    }
}

#[test]
fn a_log_has_every_line_once() {
    let daemon = Daemon::start(options(false));
    let leaks = Leaks::snapshot(daemon.scratch());
    let script = "n=0; while test ! -e /stop; do n=$((n + 1)); echo n $n; done; exit 42";
    let bundle = daemon.bundle().shell(script).build();
    let log = bundle.path().join("output.log");
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let stdout = format!("gantry-log://{}", log.display());
    api.create(CreateContainerRequest { stdout, ..create_request(&bundle) }).unwrap();
    let length = || fs::metadata(&log).map_or(0, |file| file.len());
    for _ in 0..5 {
        let before = length();
        wait_until("more in the log", SOON, || length() > before + 1000);
        upgrade(&daemon);
    }
    fs::write(bundle.rootfs().join("stop"), "").unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), 42);
    for (number, line) in fs::read_to_string(&log).unwrap().lines().enumerate() {
        let text = line.split_once(" stdout F ").expect("a whole record").1;
        assert_eq!(text, format!("n {}", number + 1));
    }
    leaks.assert_clean();
}

/// Ends at any moment of a handover, each with its true status and told once.
#[test]
fn an_end_during_the_upgrade_has_its_status() {
    let daemon = Daemon::start(options(false));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    api.run(&bundle);
    let stop = AtomicBool::new(false);
    let statuses: BTreeMap<String, u32> = (0..60).map(|number| (format!("e{number}"), number)).collect();
    let told = thread::scope(|scope| {
        let upgrades = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) {
                // What ended just then is answered with a reason.
                let finished = daemon.gantry(["shim", "upgrade"]);
                assert!(finished.stdout.starts_with("ID "), "{}{}", finished.stdout, finished.stderr);
                rounds += 1;
            }
            rounds
        });
        for (id, status) in &statuses {
            let script = format!("sleep 0.0{}; exit {status}", status % 10);
            api.add_process(exec_request(bundle.id(), id, &["sh", "-c", &script])).unwrap();
        }
        let mut told = BTreeMap::new();
        for _ in 0..statuses.len() {
            let (id, status) = events.next_exec_exit();
            assert_eq!(told.insert(id.clone(), status), None, "{id} ended twice");
        }
        stop.store(true, Ordering::Relaxed);
        assert!(upgrades.join().unwrap() > 0);
        told
    });
    assert_eq!(told, statuses);
    api.signal(bundle.id(), "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), 137);
    leaks.assert_clean();
}

/// The old shim is gone and the daemon too, before there is a new shim.
#[test]
fn a_daemon_that_dies_meanwhile_is_followed_by_one_that_goes_on() {
    let mut daemon = Daemon::start(options(false));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().shell("read line; exit 42").build();
    let stdio = fifos(&bundle, "init");
    let api = Api::connect(&daemon);
    let init = run_with(&api, &bundle, &stdio);
    // So that the input does not end in the meantime: a client.
    let mut client = stdio.stdin.writer();
    let shim = shim_beside(&daemon, bundle.id(), "init");
    daemon.kill_hard();
    let folder = daemon.state_dir().join(bundle.id()).join("init");
    fs::write(folder.join("handover"), "").unwrap();
    fs::OpenOptions::new().write(true).open(folder.join("control")).unwrap().write_all(b"2 0 0\n").unwrap();
    assert!(shim.ends_within(SOON) && init.is_alive());
    daemon.restart();
    assert_ne!(shim_beside(&daemon, bundle.id(), "init").pid, shim.pid);
    wait_until("the end of the handover", SOON, || !folder.join("handover").exists());
    let api = Api::connect(&daemon);
    let mut events = api.events();
    assert_eq!(api.find(bundle.id()).unwrap().0, "running");
    writeln!(client, "go").unwrap();
    let status = events.exit_of(bundle.id(), "init");
    assert!(status == 42 || !crate::support::tells_status_of_orphans(), "{status}");
    leaks.assert_clean();
}

#[test]
fn a_shim_that_does_not_hand_over_stays() {
    let daemon = Daemon::start(options(false));
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let api = Api::connect(&daemon);
    api.run(&bundle);
    // Input that nobody reads fills the terminal; the rest of it is in the shim's hands and cannot go anywhere.
    let stdio = fifos(&bundle, "e1");
    let request = exec_request(bundle.id(), "e1", &["sh", "-c", "stty raw; echo ready; exec sleep 1000"]);
    let (stdin, stdout) = (stdio.stdin.text(), stdio.stdout.text());
    let lines = stdio.stdout.lines();
    api.add_process(AddProcessRequest { terminal: true, stdin, stdout, ..request })
        .map(host_process)
        .unwrap();
    assert_eq!(lines.next(SOON).as_deref(), Some("ready"));
    for _ in 0..12 {
        stdio.stdin.write(&"x".repeat(4096));
    }
    let shim = shim_beside(&daemon, bundle.id(), "e1");
    let finished = daemon.gantry(["shim", "upgrade", bundle.id()]);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stdout);
    let line = finished.stdout.lines().find(|line| line.contains("e1")).unwrap();
    assert!(line.contains("it stays") && shim.is_alive(), "{}", finished.stdout);
}

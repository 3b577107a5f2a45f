//! The daemon's settings: flags as Go reads them, the configuration file, the environment, and changing them while it
//! runs.

use crate::support::{Api, SOON, create_request, exec_request};
use gantry_testkit::{
    Binaries, Daemon, DaemonOptions, Finished, Process, Runtime, Scratch, finish, wait_until,
};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// `ServingStatus::Serving`.
const SERVING: i32 = 1;

fn signal(daemon: &Daemon, signal: Signal) {
    let pid = Pid::from_raw(daemon.pid().try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn logs(daemon: &Daemon, text: &str) {
    wait_until(&format!("{text:?} in the log"), SOON, || daemon.log().contains(text));
}

/// A daemon with this configuration file, and the file's path.
fn with_file(scratch: &Arc<Scratch>, text: &str) -> (Daemon, std::path::PathBuf) {
    let path = scratch.path().join("gantryd.toml");
    fs::write(&path, text).unwrap();
    let options = DaemonOptions::new(Runtime::BuiltIn).arg("--config").arg(path.to_str().unwrap());
    (Daemon::start_in(scratch, options), path)
}

fn gantryd(args: &[&str]) -> Finished {
    finish(Command::new(Binaries::locate().gantryd()).args(args).env_clear(), SOON)
}

#[test]
fn a_reload_changes_what_it_can_and_says_what_it_did() {
    let scratch = Scratch::new();
    let (daemon, path) = with_file(&scratch, "retain-count = 100\n");
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();

    fs::write(&path, "runtime = '/nonexistent/runtime'\nconcurrency = 3\nretain-count = 100\n").unwrap();
    signal(&daemon, Signal::HUP);
    logs(&daemon, "a setting has changed setting=\"runtime\"");
    logs(&daemon, "waits for a restart of the daemon setting=\"concurrency\"");
    let error = api.create(create_request(&bundle)).unwrap_err();
    assert!(error.message().contains("/nonexistent/runtime"), "{error}");

    fs::write(&path, "runtime = 'x'\nretain-cuont = 1\n").unwrap();
    signal(&daemon, Signal::HUP);
    logs(&daemon, "the old one stays in force");
    logs(&daemon, "did you mean \\\"retain-count\\\"?");
    let error = api.create(create_request(&bundle)).unwrap_err();
    assert!(error.message().contains("/nonexistent/runtime"), "{error}");

    fs::write(&path, "log-level = 'warn'\n").unwrap();
    signal(&daemon, Signal::HUP);
    logs(&daemon, "setting=\"log-level\"");
    api.create(create_request(&bundle)).unwrap();
    // That start was not told: it is of level info.
    assert!(!daemon.log().contains("INFO started container="), "{}", daemon.log());
    assert_eq!(Api::connect(&daemon).health("").unwrap(), SERVING);
}

#[test]
fn a_broken_file_is_told_before_anything_is_done() {
    let scratch = Scratch::new();
    let path = scratch.path().join("gantryd.toml");
    let file = path.to_str().unwrap();
    for (text, complaint) in [
        ("start-timeout = 5\n", ":1: start-timeout: \"5\" is no duration; write it like 30s, 2m or 1h30m"),
        ("\nlisten = \n", ":2: "),
        ("listem = 'x'\n", ":1: unknown setting \"listem\"; did you mean \"listen\"?"),
        ("[section]\nlisten = 'x'\n", ":1: section: "),
    ] {
        fs::write(&path, text).unwrap();
        for args in
            [&["config", "check", file][..], &["--config", file], &["--config", file, "config", "check"]]
        {
            let done = gantryd(args);
            done.expect_code(1);
            assert!(done.stderr.contains(&format!("{file}{complaint}")), "{done}");
        }
    }
    fs::write(&path, "start-timeout = '5s'\n").unwrap();
    gantryd(&["config", "check", file]).expect_code(0);
}

#[test]
fn the_default_file_says_everything_and_changes_nothing() {
    let scratch = Scratch::new();
    let path = scratch.path().join("gantryd.toml");
    let printed = gantryd(&["config", "default"]);
    printed.expect_code(0);
    fs::write(&path, &printed.stdout).unwrap();
    let done = gantryd(&["config", "check", path.to_str().unwrap()]);
    assert!(done.stdout.contains("ok, 0 settings"), "{done}");
}

#[test]
fn the_environment_is_a_layer_between() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn).env("GANTRYD_LOG_FORMAT", "json"));
    logs(&daemon, "\"message\":\"ready\"");
    let done = finish(
        Command::new(daemon.binaries().gantryd()).env("GANTRYD_CONCURRENCY", "many").arg("--help"),
        SOON,
    );
    done.expect_code(1);
    assert!(done.stderr.contains("GANTRYD_CONCURRENCY: "), "{done}");
}

#[test]
fn sigusr1_tells_what_the_daemon_is_doing() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let pid = api.create(create_request(&bundle)).unwrap().processes[0].system_pid;
    signal(&daemon, Signal::USR1);
    logs(
        &daemon,
        &format!("state: container {}: running, 0 commands waiting, processes: init={pid}", bundle.id()),
    );
    logs(&daemon, "containers: 1 running, 0 paused, 0 stopped");
    assert_eq!(api.health("").unwrap(), SERVING);
}

#[test]
fn protection_from_kills_for_want_of_memory_ends_at_the_container() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn).arg("--oom-score-adj").arg("-500"));
    if daemon.log().contains("the kernel does not take --oom-score-adj") {
        // Root without CAP_SYS_RESOURCE.
        return;
    }
    let api = Api::connect(&daemon);
    let score =
        |pid: u32| fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim().to_owned();
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let init = api.create(create_request(&bundle)).unwrap().processes[0].system_pid;
    let exec = api.add_process(exec_request(bundle.id(), "one", &["sleep", "1000"])).unwrap();
    let shim = Process::of(init.try_into().unwrap()).unwrap().parent().unwrap();
    assert_eq!(
        (score(daemon.pid()), score(shim.try_into().unwrap())),
        ("-500".to_owned(), "-500".to_owned())
    );
    assert_eq!((score(init), score(exec)), ("0".to_owned(), "0".to_owned()));
    let own = |config: &mut serde_json::Value| config["process"]["oomScoreAdj"] = serde_json::json!(-200);
    let bundle = daemon.bundle().args(["sleep", "1000"]).patch(own).build();
    let init = api.create(create_request(&bundle)).unwrap().processes[0].system_pid;
    assert_eq!(score(init), "-200");
}

#[test]
fn as_containerd_it_reads_flags_as_go_does_and_logs_as_0_2_did() {
    let scratch = Scratch::new();
    let name = scratch.path().join("containerd");
    symlink(Binaries::locate().gantryd(), &name).unwrap();
    let version = finish(Command::new(&name).arg("-version"), SOON);
    version.expect_code(0);
    assert!(version.stdout.starts_with("containerd version 0.2."), "{version}");

    let (socket, state) = (scratch.path().join("c.sock"), scratch.path().join("state"));
    let log = fs::File::create(scratch.path().join("log")).unwrap();
    let mut child = Command::new(&name)
        .args(["-debug", "-l", &format!("unix://{}", socket.display()), "--metrics-interval=0"])
        .args(["-start-timeout", "2m", "-state-dir", state.to_str().unwrap()])
        .args(["--shim", "docker-containerd-shim", "--runtime", "docker-runc"])
        .args(["--runtime-args", "--systemd-cgroup=true", "and", "more", "-nonsense"])
        .env("GANTRYD_LISTEN", "unix:///nonexistent/x")
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let read = || fs::read_to_string(scratch.path().join("log")).unwrap();
    wait_until("the daemon is ready", SOON, || read().contains("msg=\"ready\""));
    let first = read().lines().next().unwrap().to_owned();
    assert!(
        first.starts_with("time=\"2") && first.contains("Z\" level=info msg=\"containerd started\" "),
        "{first}"
    );
    assert!(socket.exists() && state.is_dir());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", read());
    assert!(read().contains("stopping containerd after receiving SIGTERM"), "{}", read());
    assert!(!socket.exists());
}

#[test]
fn nobody_has_to_read_the_log() {
    let scratch = Scratch::new();
    let socket = scratch.path().join("s.sock");
    let mut child = Command::new(Binaries::locate().gantryd())
        .args(["--debug", "--listen", &format!("unix://{}", socket.display())])
        .arg("--state-dir")
        .arg(scratch.path().join("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    wait_until("it listens", SOON, || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    let pid = Pid::from_child(&child);
    for _ in 0..3 {
        kill_process(pid, Signal::USR1).unwrap();
        std::os::unix::net::UnixStream::connect(&socket).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(child.try_wait().unwrap(), None, "it lives on");
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn bad_flags_end_with_2_and_name_themselves() {
    for (args, complaint) in [
        (&["--no-such-flag"][..], "--no-such-flag"),
        (&["-start-timeout", "soon"], "no duration"),
        (&["positional"], "positional"),
    ] {
        let done = gantryd(args);
        done.expect_code(2);
        assert!(done.stderr.contains(complaint), "{done}");
    }
}

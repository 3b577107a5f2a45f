//! The client against a stand-in for the daemon: what users and scripts rely on, and faults that are hard to cause for real.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step of a test ends the test")]

mod fake;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fake::FakeDaemon;
use rustix::process::{Pid, Signal, kill_process};

/// Nothing here takes long; what does hangs.
const LIMIT: Duration = Duration::from_secs(20);

struct Setup {
    daemon: FakeDaemon,
    rootfs: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        Self { daemon: FakeDaemon::start(), rootfs: tempfile::tempdir().unwrap() }
    }

    /// `gantry` with arguments; `ROOT` stands for `--rootfs` of an empty directory.
    fn gantry(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
        command
            .env_remove("GANTRY_BUNDLES")
            .env("GANTRY_ADDRESS", self.daemon.address())
            .stdin(Stdio::null());
        for arg in args {
            match *arg {
                "ROOT" => command.arg("--rootfs").arg(self.rootfs.path()),
                arg => command.arg(arg),
            };
        }
        command
    }

    fn run(&self, args: &[&str]) -> Result {
        Result::from(self.gantry(args).output().unwrap())
    }

    fn spawn(&self, args: &[&str]) -> Child {
        self.gantry(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn wait_running(&self, id: &str) {
        wait_for("the container to run", || self.daemon.shared().is_running(id));
    }

    fn bundles(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.daemon.bundles()) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[derive(Debug)]
struct Result {
    status: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Result {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "waited in vain for {what}");
        sleep(Duration::from_millis(5));
    }
}

/// Waits for the client, and ends it if it hangs.
fn finish(mut child: Child) -> Result {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("the client hangs: {:?}", Result::from(child.wait_with_output().unwrap()));
        }
        sleep(Duration::from_millis(5));
    }
    Result::from(child.wait_with_output().unwrap())
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

// === run ===

#[test]
fn output_and_status_are_the_container_s() {
    let setup = Setup::new();
    let result = setup.run(&["run", "--rm", "ROOT", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((result.status, result.stdout.as_str(), result.stderr.as_str()), (7, "out\n", "err\n"));
    assert_eq!(setup.run(&["run", "--rm", "ROOT", "true"]).status, 0);
    assert_eq!(setup.run(&["run", "--rm", "ROOT", "sh", "-c", "kill -9 $$"]).status, 137);
    assert!(setup.bundles().is_empty());
}

#[test]
fn much_output_is_whole() {
    let setup = Setup::new();
    let mut child = setup.spawn(&["run", "--rm", "ROOT", "head", "-c", "20000000", "/dev/zero"]);
    // A reader that is late and slow loses nothing.
    sleep(Duration::from_millis(300));
    let mut count = 0;
    let mut buffer = vec![0; 100_000];
    let mut stdout = child.stdout.take().unwrap();
    loop {
        match stdout.read(&mut buffer).unwrap() {
            0 => break,
            read => count += read,
        }
    }
    assert_eq!(count, 20_000_000);
    assert_eq!(finish(child).status, 0);
}

#[test]
fn input_reaches_the_container_and_ends() {
    let setup = Setup::new();
    let mut child = setup.spawn(&["run", "--rm", "-i", "--name", "in", "ROOT", "wc", "-c"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&vec![b'x'; 300_000]).unwrap();
    drop(stdin);
    let result = finish(child);
    assert_eq!((result.status, result.stdout.trim()), (0, "300000"));
    let updates = setup.daemon.shared().updates.lock().unwrap();
    assert!(updates.iter().any(|update| update.close_stdin && update.pid == "init"));
}

#[test]
fn without_i_there_is_no_input() {
    let setup = Setup::new();
    let result = setup.run(&["run", "--rm", "ROOT", "wc", "-c"]);
    assert_eq!((result.status, result.stdout.trim()), (0, "0"));
    assert_eq!(setup.daemon.shared().creates.lock().unwrap()[0].stdin, "");
}

#[test]
fn a_failed_start_has_a_shell_s_status_and_leaves_nothing() {
    let setup = Setup::new();
    let cases = [
        ("nope", None, 127),
        ("/etc/passwd", None, 126),
        ("sh", Some("fail:containerd: container did not start before the specified timeout"), 125),
        ("sh", Some("fail:nope not installed on system"), 125),
    ];
    for (command, runtime, status) in cases {
        let runtime = runtime.map_or(Vec::new(), |runtime| vec!["--runtime", runtime]);
        let args = [&["run", "ROOT"][..], &runtime, &[command]].concat();
        let result = setup.run(&args);
        assert_eq!(result.status, status, "{result:?}");
        assert!(result.stderr.starts_with("gantry: cannot run "), "{result:?}");
        assert!(!result.stderr.contains("containerd"), "{result:?}");
    }
    assert!(setup.bundles().is_empty());
}

#[test]
fn a_name_is_taken_until_it_is_removed() {
    let setup = Setup::new();
    assert_eq!(setup.run(&["run", "--name", "one", "ROOT", "true"]).status, 0);
    let again = setup.run(&["run", "--name", "one", "ROOT", "true"]);
    assert_eq!(again.status, 125);
    assert!(again.stderr.contains("gantry rm one"), "{again:?}");
    assert_eq!(setup.run(&["rm", "one"]).stdout, "one\n");
    assert_eq!(setup.run(&["run", "--name", "one", "--rm", "ROOT", "true"]).status, 0);
}

#[test]
fn bad_input_is_refused_before_anything_is_made() {
    let setup = Setup::new();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["run", "--name", "a/b", "ROOT", "x"], 2, "not allowed in an id"),
        (&["run", "--bundle", "/nonexistent"], 125, "no such file"),
        (&["run", "--rootfs", "/nonexistent", "x"], 125, "no such file"),
        (&["run", "--rootfs", "/etc/passwd", "x"], 125, "not a directory"),
        (&["run", "ROOT"], 2, "needs a command"),
        (&["run", "-it", "ROOT", "sh"], 2, "needs a terminal"),
    ];
    for (args, status, text) in cases {
        let result = setup.run(args);
        assert_eq!(result.status, status, "{args:?}: {result:?}");
        assert!(result.stderr.contains(text), "{args:?}: {result:?}");
    }
    assert!(setup.bundles().is_empty());
    assert!(setup.daemon.shared().creates.lock().unwrap().is_empty());
}

#[test]
fn a_bundle_is_used_as_it_is() {
    let setup = Setup::new();
    let bundle = tempfile::tempdir().unwrap();
    let config = r#"{"process": {"args": ["sh", "-c", "echo $A"], "env": ["A=7", "PATH=/bin:/usr/bin"]}}"#;
    fs::write(bundle.path().join("config.json"), config).unwrap();
    let path = bundle.path().to_str().unwrap();
    let result = setup.run(&["run", "--bundle", path]);
    assert_eq!((result.status, result.stdout.as_str()), (0, "7\n"));
    assert_eq!(setup.run(&["run", "--bundle", path, "true"]).status, 2);
    assert_eq!(setup.run(&["run", "--bundle", path, "-t"]).status, 125);
    assert_eq!(fs::read_dir(bundle.path()).unwrap().count(), 1);
}

// === signals ===

#[test]
fn signals_are_passed_on() {
    let setup = Setup::new();
    for (name, sent) in [("TERM", Signal::TERM), ("USR1", Signal::USR1), ("HUP", Signal::HUP)] {
        let script = format!("trap 'echo got {name}; exit 3' {name}; echo up; while :; do sleep 0.02; done");
        let mut child = setup.spawn(&["run", "--rm", "ROOT", "sh", "-c", &script]);
        let mut first = [0; 3];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        signal(&child, sent);
        let result = finish(child);
        assert_eq!((result.status, result.stdout), (3, format!("got {name}\n")));
    }
}

#[test]
fn three_interrupts_leave_a_container_that_does_not_react() {
    let setup = Setup::new();
    let script = "trap '' INT; echo up; while :; do sleep 0.02; done";
    let mut child = setup.spawn(&["run", "--name", "deaf", "ROOT", "sh", "-c", script]);
    let mut first = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    for _ in 0..3 {
        signal(&child, Signal::INT);
        sleep(Duration::from_millis(50));
    }
    let result = finish(child);
    assert_eq!(result.status, 130, "{result:?}");
    assert!(result.stderr.contains("gantry rm -f deaf"), "{result:?}");
    assert!(setup.daemon.shared().is_running("deaf"));
    assert_eq!(setup.run(&["rm", "-f", "deaf"]).status, 0);
}

#[test]
fn a_closed_output_ends_what_writes_to_it() {
    let setup = Setup::new();
    let mut child = setup.spawn(&["run", "--rm", "ROOT", "yes"]);
    let mut first = [0; 2];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    drop(child.stdout.take());
    assert_eq!(finish(child).status, 141);
    // Even if it does not care.
    let script = "trap '' PIPE; while :; do echo y; sleep 0.01; done";
    let mut child = setup.spawn(&["run", "--rm", "ROOT", "sh", "-c", script]);
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    drop(child.stdout.take());
    assert_eq!(finish(child).status, 137);
}

// === faults ===

#[test]
fn a_missing_daemon_is_explained() {
    let mut setup = Setup::new();
    setup.daemon.kill();
    for (args, status) in [(&["run", "ROOT", "true"][..], 125), (&["ps"][..], 1)] {
        let result = setup.run(args);
        assert_eq!(result.status, status);
        assert!(result.stderr.starts_with("gantry: cannot reach gantryd at unix:///"), "{result:?}");
        assert!(result.stderr.contains("\n  hint: "), "{result:?}");
    }
    assert!(setup.bundles().is_empty());
}

#[test]
fn an_attached_run_survives_broken_streams_and_a_killed_daemon() {
    let mut setup = Setup::new();
    let script = "echo one; read line; echo $line; exit 5";
    let mut child = setup.spawn(&["run", "--rm", "-i", "--name", "keep", "ROOT", "sh", "-c", script]);
    let mut first = [0; 4];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    setup.daemon.break_streams();
    sleep(Duration::from_millis(100));
    setup.daemon.kill();
    sleep(Duration::from_millis(200));
    // It ends while nobody is there to tell.
    child.stdin.take().unwrap().write_all(b"two\n").unwrap();
    wait_for("the process to end", || !setup.daemon.shared().is_running("keep"));
    setup.daemon.serve();
    let result = finish(child);
    assert_eq!((result.status, result.stdout.as_str(), result.stderr.as_str()), (5, "two\n", ""));
}

#[test]
fn a_daemon_that_comes_back_at_once_is_not_worth_a_word() {
    let mut setup = Setup::new();
    let mut child = setup.spawn(&["run", "--rm", "-i", "ROOT", "sh", "-c", "echo up; read line; exit 5"]);
    let mut first = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    setup.daemon.kill();
    setup.daemon.serve();
    // Nothing happens in the container for a while, so there is no event that would tell that the daemon is back.
    sleep(Duration::from_millis(2_500));
    child.stdin.take().unwrap().write_all(b"x\n").unwrap();
    let result = finish(child);
    assert_eq!((result.status, result.stderr.as_str()), (5, ""));
}

#[test]
fn stdin_is_closed_even_if_the_daemon_was_away() {
    let mut setup = Setup::new();
    let mut child =
        setup.spawn(&["run", "--rm", "-i", "--name", "keep", "ROOT", "sh", "-c", "echo up; wc -c"]);
    let mut first = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    setup.daemon.kill();
    drop(child.stdin.take());
    sleep(Duration::from_millis(300));
    setup.daemon.serve();
    let result = finish(child);
    assert_eq!((result.status, result.stdout.trim()), (0, "0"));
}

// === exec ===

#[test]
fn exec_has_a_status_of_its_own() {
    let setup = Setup::new();
    assert_eq!(
        setup.run(&["run", "-d", "--name", "web", "-e", "A=1", "ROOT", "sleep", "60"]).stdout,
        "web\n"
    );
    let result = setup.run(&["exec", "-e", "B=2", "web", "sh", "-c", "echo $A$B; exit 9"]);
    assert_eq!((result.status, result.stdout.as_str()), (9, "12\n"));
    assert_eq!(setup.run(&["exec", "web", "nope"]).status, 127);
    assert_eq!(setup.run(&["exec", "web", "/etc/passwd"]).status, 126);
    assert_eq!(setup.run(&["exec", "--id", "init", "web", "true"]).status, 2);
    let unknown = setup.run(&["exec", "nobody", "true"]);
    assert_eq!(unknown.status, 125);
    assert!(unknown.stderr.starts_with("gantry: there is no container `nobody`"), "{unknown:?}");
    let left: Vec<String> = fs::read_dir(setup.daemon.bundles().join("web"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("std") && !name.ends_with(".log"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

// === the rest ===

#[test]
fn containers_are_listed_logged_and_removed() {
    let setup = Setup::new();
    let script = "echo out; echo err >&2; exec sleep 60";
    assert_eq!(setup.run(&["run", "-d", "--name", "web", "ROOT", "sh", "-c", script]).status, 0);
    assert_eq!(setup.run(&["run", "--name", "done", "ROOT", "sh", "-c", "exit 3"]).status, 3);
    setup.wait_running("web");

    assert_eq!(setup.run(&["ps", "-q"]).stdout, "web\n");
    assert_eq!(setup.run(&["ps", "-aq"]).stdout, "done\nweb\n");
    let table = setup.run(&["ps", "-a"]).stdout;
    assert!(table.starts_with("ID     STATUS"), "{table}");
    assert!(table.contains("exited (3) "), "{table}");
    let json: serde_json::Value =
        serde_json::from_str(&setup.run(&["ps", "--format", "json"]).stdout).unwrap();
    assert_eq!((&json[0]["id"], &json[0]["status"]), (&"web".into(), &"running".into()));

    let log = Path::new("web/stdout.log");
    wait_for("output", || fs::read(setup.daemon.bundles().join(log)).is_ok_and(|text| text == b"out\n"));
    let logs = setup.run(&["logs", "web"]);
    assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("out\n", "err\n"));
    let logs = setup.run(&["logs", "done"]);
    assert_eq!(logs.status, 1);
    assert!(logs.stderr.contains("it ran in the foreground"), "{logs:?}");

    let inspected: serde_json::Value = serde_json::from_str(&setup.run(&["inspect", "done"]).stdout).unwrap();
    assert_eq!(
        (&inspected["container"], &inspected["lastExit"]["status"]),
        (&serde_json::Value::Null, &3.into())
    );

    let refused = setup.run(&["rm", "web", "done"]);
    assert_eq!((refused.status, refused.stdout.as_str()), (1, "done\n"));
    assert!(refused.stderr.contains("gantry rm -f web"), "{refused:?}");
    assert_eq!(setup.run(&["rm", "-f", "web"]).stdout, "web\n");
    assert_eq!(setup.run(&["rm", "web"]).status, 1);
    assert!(setup.bundles().is_empty());
}

#[test]
fn logs_are_followed_until_the_end() {
    let setup = Setup::new();
    let script = "echo one; sleep 0.3; echo two; sleep 0.3; printf three";
    setup.run(&["run", "-d", "--name", "web", "ROOT", "sh", "-c", script]);
    let result = finish(setup.spawn(&["logs", "-f", "web"]));
    assert_eq!((result.status, result.stdout.as_str()), (0, "one\ntwo\nthree"));
}

#[test]
fn events_are_told() {
    let setup = Setup::new();
    setup.run(&["run", "--rm", "--name", "a", "ROOT", "true"]);
    setup.run(&["run", "--rm", "--name", "b", "ROOT", "false"]);
    let result = setup.run(&["events", "--stored", "--id", "b", "--format", "json"]);
    let events: Vec<serde_json::Value> =
        result.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 2);
    assert_eq!((&events[0]["type"], &events[1]["type"]), (&"start-container".into(), &"exit".into()));
    assert_eq!((&events[1]["status"], &events[1]["pid"]), (&1.into(), &"init".into()));
    let table = setup.run(&["events", "--stored", "--since", "1h"]).stdout;
    assert_eq!(table.lines().count(), 5, "{table}");
    assert_eq!(setup.run(&["events", "--since", "tomorrow"]).status, 2);
}

#[test]
fn kill_takes_names_and_numbers() {
    let setup = Setup::new();
    for spelling in ["KILL", "SIGKILL", "9", "kill"] {
        setup.run(&["run", "-d", "--name", "web", "ROOT", "sleep", "60"]);
        assert_eq!(setup.run(&["kill", "-s", spelling, "web"]).status, 0);
        wait_for("the end", || !setup.daemon.shared().is_running("web"));
        assert_eq!(setup.run(&["rm", "web"]).status, 0);
    }
    let unknown = setup.run(&["kill", "web"]);
    assert_eq!((unknown.status, unknown.stdout.as_str()), (1, ""));
    assert!(
        unknown.stderr.starts_with("gantry: cannot send SIGTERM to web: container not found\n"),
        "{unknown:?}"
    );
}

#[test]
fn the_demo_root_and_the_version() {
    let setup = Setup::new();
    let version = setup.run(&["version"]);
    assert!(version.stdout.contains("daemon  types.API 0.2.9, revision fake"), "{version:?}");
    // The fake has no root of its own to run in, but the bundle is there.
    setup.run(&["run", "--name", "demo", "true"]);
    let rootfs = setup.daemon.bundles().join("demo/rootfs");
    assert!(rootfs.join("bin/hello").exists());
    assert!(rootfs.join("etc/passwd").exists());
    let stats = setup.run(&["stats", "demo"]);
    assert_eq!(stats.stdout.replace([' ', '\n'], ""), r#"{"cgroup_stats":{}}"#);
}

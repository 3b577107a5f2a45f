//! `gantry run -d` and `gantry logs`: what a container in the background writes is kept, with times, and in bounds.

use crate::support::{Api, SOON, each_runtime};
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Leaks, Runtime, wait_until};
use std::fs::{self, File};
use std::path::PathBuf;

each_runtime!(each_stream_is_kept_apart_and_whole, a_terminal_is_kept_as_one_stream);

fn run_detached(daemon: &Daemon, bundle: &Bundle, options: &[&str]) {
    let path = bundle.path().to_str().unwrap();
    let args = ["run", "-d", "--name", bundle.id(), "--bundle", path];
    daemon.gantry(args.iter().chain(options)).success();
}

/// Waits for the end; all that was written is in the log then.
fn run_to_the_end(daemon: &Daemon, bundle: &Bundle, options: &[&str]) {
    let mut events = Api::connect(daemon).events();
    run_detached(daemon, bundle, options);
    events.exit_of(bundle.id(), "init");
}

/// The files of the log, the newest first.
fn log_files(daemon: &Daemon, bundle: &Bundle) -> Vec<PathBuf> {
    let folder = daemon.scratch().path().join("bundles").join(bundle.id());
    let newest = folder.join("output.log");
    let older = (1..).map(|number| folder.join(format!("output.log.{number}")));
    std::iter::once(newest).chain(older).take_while(|file| file.exists()).collect()
}

fn each_stream_is_kept_apart_and_whole(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().shell("echo out; echo err >&2; echo two; printf 'no newline'").build();
    run_to_the_end(&daemon, &bundle, &[]);
    let id = bundle.id();
    let logs = daemon.gantry(["logs", id]);
    assert_eq!((logs.success(), &*logs.stderr), ("out\ntwo\nno newline\n", "err\n"), "{logs}");
    // Whoever follows a container that has ended does not wait.
    assert_eq!(daemon.gantry(["logs", "-f", id]).success(), logs.stdout);

    let only = daemon.gantry(["logs", "--stderr", id]);
    assert_eq!((only.success(), &*only.stderr), ("", "err\n"), "{only}");
    let last = daemon.gantry(["logs", "--stdout", "--tail", "2", id]);
    assert_eq!(last.success(), "two\nno newline\n", "{last}");

    let timed = daemon.gantry(["logs", "-t", "--stdout", id]);
    let lines: Vec<(&str, &str)> =
        timed.success().lines().map(|line| line.split_once(' ').unwrap()).collect();
    let texts: Vec<&str> = lines.iter().map(|(_, text)| *text).collect();
    assert_eq!(texts, ["out", "two", "no newline"], "{timed}");
    // A line of that very moment is not before it.
    let since = daemon.gantry(["logs", "--stdout", "--since", lines[2].0, id]);
    assert!(since.success().ends_with("no newline\n"), "{since}");
    let later = daemon.gantry(["logs", "--since", "2100-01-01T00:00:00Z", id]);
    assert_eq!((later.success(), &*later.stderr), ("", ""), "{later}");

    daemon.gantry(["rm", id]).success();
    leaks.assert_clean();
}

fn a_terminal_is_kept_as_one_stream(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let bundle = daemon.bundle().terminal(true).shell("test -t 1 && echo out; echo err >&2").build();
    run_to_the_end(&daemon, &bundle, &["-t"]);
    let logs = daemon.gantry(["logs", bundle.id()]);
    assert_eq!((logs.success(), &*logs.stderr), ("out\r\nerr\r\n", ""), "{logs}");
}

#[test]
fn bytes_are_kept_as_they_are() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    // Long lines, empty ones, control characters: whatever chance brings. The log says nothing of a newline that is
    // missing at the very end.
    let random = "(head -c 200000 /dev/urandom; head -c 100000 /dev/zero; echo) | tee /written";
    let bundle = daemon.bundle().shell(random).build();
    run_to_the_end(&daemon, &bundle, &[]);
    let written = fs::read(bundle.rootfs().join("written")).unwrap();
    let output = daemon.client().args(["logs", bundle.id()]).output().unwrap();
    assert!(output.status.success());
    assert_eq!(written.len(), 300_001);
    assert!(output.stdout == written, "{} bytes came back", output.stdout.len());
}

#[test]
fn a_log_has_bounds_and_its_files_are_read_in_order() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let bundle = daemon.bundle().args(["seq", "1", "3000"]).build();
    run_to_the_end(&daemon, &bundle, &["--log-max-size", "8k", "--log-max-files", "3"]);
    let files = log_files(&daemon, &bundle);
    assert_eq!(files.len(), 3);
    for file in &files {
        assert!(fs::metadata(file).unwrap().len() <= 8 << 10, "{}", file.display());
    }
    let logs = daemon.gantry(["logs", bundle.id()]);
    let numbers: Vec<u32> = logs.success().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers.last(), Some(&3000));
    assert!(numbers.len() > 100, "{logs}");
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{logs}");
    let last = daemon.gantry(["logs", "--tail", "300", bundle.id()]);
    assert_eq!(last.success().lines().count(), 300);

    // With room for all of it, all of it is there.
    let bundle = daemon.bundle().args(["seq", "1", "3000"]).build();
    run_to_the_end(&daemon, &bundle, &["--log-max-size", "8k", "--log-max-files", "100"]);
    assert!(log_files(&daemon, &bundle).len() > 10);
    assert_eq!(daemon.gantry(["logs", bundle.id()]).success().lines().count(), 3000);
}

#[test]
fn follow_goes_on_over_rotations_and_restarts_of_the_daemon_until_the_end() {
    let mut daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let script = "seq 1 2000; until [ -e /go ]; do sleep 0.02; done; seq 2001 4000; \
                  until [ -e /end ]; do sleep 0.02; done; echo last";
    let bundle = daemon.bundle().shell(script).build();
    run_detached(&daemon, &bundle, &["--log-max-size", "8k", "--log-max-files", "100"]);
    let shown = daemon.scratch().path().join("shown");
    let mut follow = daemon.client();
    follow.args(["logs", "-f", bundle.id()]).stdout(File::create(&shown).unwrap());
    let mut follow = follow.spawn().unwrap();
    let touch = |name: &str| fs::write(bundle.rootfs().join(name), "").unwrap();
    let wait_for_line = |line: &str| {
        wait_until(line, SOON, || fs::read_to_string(&shown).unwrap().ends_with(&format!("\n{line}\n")));
    };
    wait_for_line("2000");
    daemon.kill_hard();
    touch("go");
    // Nobody needs the daemon for that.
    wait_for_line("4000");
    daemon.restart();
    touch("end");
    wait_until("the client to end", SOON, || follow.try_wait().unwrap().is_some());
    assert!(follow.wait().unwrap().success());
    let expected: String = (1..=4000)
        .map(|number: u32| number.to_string())
        .chain(["last".to_owned()])
        .map(|line| line + "\n")
        .collect();
    assert!(fs::read_to_string(&shown).unwrap() == expected, "see {}", shown.display());
    assert!(log_files(&daemon, &bundle).len() > 5);
}

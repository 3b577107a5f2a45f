//! From create to the reported exit.

use crate::support::{Container, Reader};
use gantry_record::layout::name;
use gantry_record::{ProcessRecord, log, ready};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Command;

#[test]
fn wrong_usage_is_explained() {
    for args in [&[][..], &["a", "b"], &["../a", "/b", "runc"], &["-x"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_gantry-shim")).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        assert!(
            String::from_utf8_lossy(&output.stderr)
                .contains("usage: gantry-shim [--adopt] ID BUNDLE RUNTIME")
        );
    }
    let output = Command::new(env!("CARGO_BIN_EXE_gantry-shim")).arg("--version").output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("gantry-shim {}\n", env!("CARGO_PKG_VERSION"))
    );
}

fn status_of(args: &[&str]) -> u32 {
    let container = Container::new(args);
    let mut shim = container.init(ProcessRecord::default());
    shim.await_ready();
    container.start();
    let status = shim.await_exit();
    assert!(shim.dir.file(name::DELETED).exists(), "{}", shim.logs());
    assert!(!container.runtime(&["state"]).status.success());
    assert!(shim.child.wait().unwrap().success());
    status
}

#[test]
fn the_status_is_the_process_own() {
    assert_eq!(status_of(&["true"]), 0);
    assert_eq!(status_of(&["sh", "-c", "exit 7"]), 7);
}

#[test]
fn a_signal_is_128_plus_its_number() {
    let container = Container::new(&["sleep", "1000"]);
    let mut shim = container.init(ProcessRecord::default());
    shim.await_ready();
    container.start();
    kill_process(Pid::from_raw(shim.pid()).unwrap(), Signal::KILL).unwrap();
    assert_eq!(shim.await_exit(), 137);
}

#[test]
fn output_is_complete_when_the_exit_is_reported() {
    let container = Container::new(&["sh", "-c", "echo out; echo err >&2"]);
    let record = container.streams("init");
    let (stdout, stderr) = (Reader::open(&record.stdout), Reader::open(&record.stderr));
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    assert_eq!(shim.await_exit(), 0);
    assert_eq!((stdout.text().as_str(), stderr.text().as_str()), ("out\n", "err\n"));
}

#[test]
fn a_missing_command_is_no_readiness_and_the_runtimes_own_words() {
    let container = Container::new(&["no-such-command"]);
    let mut shim = container.init(ProcessRecord::default());
    assert_eq!(shim.readiness(), ready::HELLO);
    assert!(shim.child.wait().unwrap().success());
    let error = log::first_error(&shim.dir.file(name::RUNTIME_LOG)).unwrap().unwrap();
    assert!(error.contains("no-such-command"), "{error}");
    assert_eq!(log::first_error(&shim.dir.file(name::SHIM_LOG)).unwrap(), None);
    assert!(!container.runtime(&["state"]).status.success());
}

#[test]
fn a_missing_stdio_folder_is_named() {
    let container = Container::new(&["true"]);
    let record = ProcessRecord { stdout: "/no/such/stdout".to_owned(), ..ProcessRecord::default() };
    let mut shim = container.init(record);
    assert_eq!(shim.readiness(), ready::HELLO);
    assert_eq!(shim.child.wait().unwrap().code(), Some(1));
    let error = log::first_error(&shim.dir.file(name::SHIM_LOG)).unwrap().unwrap();
    assert_eq!(error, "containerd-shim: opening /no/such/stdout failed: no such file or directory");
}

#[test]
fn nothing_but_the_standard_streams_is_inherited() {
    let script = "ls /proc/self/fd; grep -E '^Sig(Blk|Ign)' /proc/self/status; umask";
    let container = Container::new(&["busybox", "sh", "-c", script]);
    let record = container.streams("init");
    let stdout = Reader::open(&record.stdout);
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    assert_eq!(shim.await_exit(), 0);
    // 3 is the folder that ls itself reads.
    let text = stdout.text();
    assert!(text.starts_with("0\n1\n2\n3\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"), "{text}");
    assert!(text.ends_with("0022\n"), "{text}");
}

#[test]
fn grandchildren_without_a_pid_namespace_are_killed() {
    let container = Container::new(&["sh", "-c", "sleep 1000 & echo $!"]).without_pid_namespace();
    let record = container.streams("init");
    let stdout = Reader::open(&record.stdout);
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    assert_eq!(shim.await_exit(), 0);
    let pid: i32 = stdout.text().trim().parse().unwrap();
    assert!(gantry_record::proc::ProcStat::of(pid).is_none(), "{pid} lives");
    assert!(shim.dir.file(name::DELETED).exists(), "{}", shim.logs());
}

#[test]
fn a_start_that_is_not_finished_is_waited_for() {
    let container = Container::new(&["true"]);
    let mut shim = container.init(ProcessRecord::default());
    shim.await_ready();
    assert!(container.runtime(&["start"]).status.success());
    crate::support::await_death(shim.pid());
    // The runtime may still be busy with its own files, so they are not taken away.
    assert!(container.runtime(&["state"]).status.success());
    shim.dir.mark_started().unwrap();
    assert_eq!(shim.await_exit(), 0);
    assert!(!container.runtime(&["state"]).status.success());
}

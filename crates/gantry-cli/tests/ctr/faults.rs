//! An attached ctr when something goes wrong around it.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use super::{Ended, Setup};

/// A container that says "up", waits for a line and ends with 5.
fn attached(setup: &Setup) -> Child {
    let bundle = setup.bundle("b", "echo up; read line; echo $line; exit 5");
    let mut child = setup.spawn(&["containers", "start", "--attach", "web", &bundle]);
    let mut first = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    child
}

#[test]
fn a_stream_that_ends_is_opened_again() {
    let setup = Setup::new();
    let mut child = attached(&setup);
    setup.daemon.break_streams();
    child.stdin.take().unwrap().write_all(b"on\n").unwrap();
    Ended::wait(child).expect(5, "on\n", "");
}

#[test]
fn a_daemon_that_ends_is_a_hangup() {
    let mut setup = Setup::new();
    let mut child = attached(&setup);
    setup.daemon.kill();
    // Not the end of its input, by which the container would end.
    let stdin = child.stdin.take();
    Ended::wait(child).expect(129, "", "");
    drop(stdin);
    assert!(setup.daemon.shared().is_running("web"));
    assert!(setup.temporary_files().is_empty());
}

#[test]
fn signals_end_ctr_and_not_the_container() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let setup = Setup::new();
        let child = attached(&setup);
        kill_process(Pid::from_child(&child), signal).unwrap();
        Ended::wait(child).expect(status, "", "");
        assert!(setup.daemon.shared().is_running("web"));
        assert!(setup.temporary_files().is_empty());
    }
}

#[test]
fn output_that_nobody_reads_ends_ctr() {
    let setup = Setup::new();
    let bundle = setup.bundle("b", "while :; do echo y; sleep 0.01; done");
    let mut child = setup.spawn(&["containers", "start", "-a", "web", &bundle]);
    let mut first = [0; 2];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    Ended::wait(child).expect(141, "", "");
}

#[test]
fn much_output_is_whole_when_ctr_ends() {
    let setup = Setup::new();
    let bundle = setup.bundle("b", "head -c 5000000 /dev/zero; echo err >&2");
    let ended = setup.run(&["containers", "start", "-a", "web", &bundle]);
    assert_eq!((ended.status, ended.stdout.len(), &*ended.stderr), (0, 5_000_000, "err\n"));
}

#[test]
fn events_end_with_the_daemon() {
    let mut setup = Setup::new();
    // This daemon answers with the first event only; the header must not wait for one.
    let mut child = setup.spawn(&["events"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let header = format!("{:<31}{:<31}{:<31}{:<31}STATUS", "TIME", "TYPE", "ID", "PID");
    assert_eq!(lines.next().unwrap().unwrap(), header);

    let bundle = setup.bundle("b", "exit 7");
    setup.run(&["containers", "start", "-a", "web", &bundle]).expect(7, "", "");
    let row = |line: String| {
        let time = line[..31].trim_end().to_owned();
        assert!(time.ends_with('Z') && time.contains('T'), "{time}");
        line[31..].to_owned()
    };
    let start = format!("{:<31}{:<31}{:<31}0", "start-container", "web", "");
    assert_eq!(row(lines.next().unwrap().unwrap()), start);
    let exit = format!("{:<31}{:<31}{:<31}7", "exit", "web", "init");
    assert_eq!(row(lines.next().unwrap().unwrap()), exit);

    setup.daemon.kill();
    Ended::wait(child).expect(1, "", "[ctr] rpc error: code = 14 desc = transport is closing\n");
}

#[test]
fn watch_goes_on_after_the_first_event() {
    let mut setup = Setup::new();
    let bundle = setup.bundle("b", "sleep 60");
    setup.run(&["containers", "start", "web", &bundle]).expect(0, "", "");
    let mut child = setup.spawn(&["containers", "watch", "web"]);
    // It must have subscribed; the daemon tells nobody when.
    super::wait_for("a subscriber", || setup.daemon.subscribers() > 0);
    let bundle = setup.bundle("other", "exit 3");
    setup.run(&["containers", "start", "-a", "other", &bundle]).expect(3, "", "");
    let exec = ["containers", "exec", "--id", "web", "--pid", "e", "-e", "PATH=/bin:/usr/bin", "-a", "false"];
    setup.run(&exec).expect(1, "", "");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let expected = [("start-process", "0x0"), ("exit", "0x1")];
    for (kind, status) in expected {
        let line = lines.next().unwrap().unwrap();
        let start =
            format!("&types.Event{{Type:\"{kind}\", Id:\"web\", Status:{status}, Pid:\"e\", Timestamp:");
        assert!(line.starts_with(&start), "{line}");
    }
    setup.daemon.kill();
    Ended::wait(child).expect(1, "", "[ctr] rpc error: code = 14 desc = transport is closing\n");
}

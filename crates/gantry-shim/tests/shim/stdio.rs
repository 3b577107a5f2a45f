//! Standard streams without a terminal.

use crate::support::{Container, Reader, open_writer};
use gantry_record::ProcessRecord;
use gantry_record::control::ControlMessage;
use std::io::Write;

#[test]
fn stdin_ends_only_after_close_stdin() {
    let container = Container::new(&["cat"]);
    let record = container.streams("init");
    let (stdin, stdout) = (record.stdin.clone(), Reader::open(&record.stdout));
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    // One client comes and goes, and another one.
    open_writer(&stdin).write_all(b"one\n").unwrap();
    stdout.read_until("one\n");
    let mut client = open_writer(&stdin);
    client.write_all(b"two\n").unwrap();
    stdout.read_until("two\n");
    shim.send(ControlMessage::CloseStdin);
    client.write_all(b"three\n").unwrap();
    stdout.read_until("three\n");
    assert!(!shim.has_exited());
    drop(client);
    assert_eq!(shim.await_exit(), 0);
    assert_eq!(stdout.text(), "");
}

#[test]
fn a_late_reader_finds_what_was_written_last() {
    let container = Container::new(&["echo", "hi"]);
    let record = container.streams("init");
    let stdout = record.stdout.clone();
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    assert_eq!(shim.await_exit(), 0);
    assert!(shim.child.try_wait().unwrap().is_none(), "it did not wait for a reader");
    // As a client does that knows nothing: an open that blocks without a writer.
    assert_eq!(std::fs::read_to_string(stdout).unwrap(), "hi\n");
    assert!(shim.child.wait().unwrap().success());
}

#[test]
fn nobody_waits_for_a_reader_that_cannot_come() {
    let container = Container::new(&["echo", "hi"]);
    let record = container.streams("init");
    let (stdout, stderr) = (record.stdout.clone(), record.stderr.clone());
    let mut shim = container.init(record);
    shim.await_ready();
    std::fs::remove_file(stdout).unwrap();
    std::fs::remove_file(stderr).unwrap();
    container.start();
    assert_eq!(shim.await_exit(), 0);
    assert!(shim.child.wait().unwrap().success());
}

#[test]
fn the_name_of_an_unread_fifo_may_go_away() {
    let container = Container::new(&["echo", "hi"]);
    let record = container.streams("init");
    let stdout = record.stdout.clone();
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    assert_eq!(shim.await_exit(), 0);
    std::fs::remove_file(stdout).unwrap();
    assert!(shim.child.wait().unwrap().success());
}

#[test]
fn a_full_fifo_stops_the_process_and_not_the_shim() {
    let container = Container::new(&["head", "-c", "1000000", "/bin/busybox"]);
    let record = container.streams("init");
    let stdout = record.stdout.clone();
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    let reader = Reader::open(&stdout);
    let busybox = std::fs::read("/usr/bin/busybox").unwrap();
    assert!(reader.read_to_end() == busybox[..1_000_000], "bytes were lost or changed");
    assert_eq!(shim.await_exit(), 0);
}

#[test]
fn plain_files_are_logs() {
    let container = Container::new(&["sh", "-c", "cat; echo out; echo err >&2"]);
    let log = container.path("log");
    std::fs::write(&log, "old\n").unwrap();
    std::fs::write(container.path("in"), "in\n").unwrap();
    let path = |name| container.path(name).to_str().unwrap().to_owned();
    let record = ProcessRecord {
        stdin: path("in"),
        stdout: path("log"),
        stderr: path("new"),
        ..ProcessRecord::default()
    };
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    assert_eq!(shim.await_exit(), 0);
    assert_eq!(std::fs::read_to_string(log).unwrap(), "old\nin\nout\n");
    assert_eq!(std::fs::read_to_string(container.path("new")).unwrap(), "err\n");
}

#[test]
fn one_path_for_both_outputs_loses_neither() {
    let container = Container::new(&["sh", "-c", "echo out; echo err >&2"]);
    let record = container.streams("init");
    let stdout = Reader::open(&record.stdout);
    let record = ProcessRecord { stderr: record.stdout.clone(), ..record };
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    assert_eq!(shim.await_exit(), 0);
    assert_eq!(stdout.text(), "out\nerr\n");
}

#[test]
fn a_client_that_also_writes_does_not_delay_the_exit() {
    let container = Container::new(&["echo", "hi"]);
    let record = container.streams("init");
    let stdout = Reader::open_read_write(&record.stdout);
    let _stderr = Reader::open_read_write(&record.stderr);
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    assert_eq!(shim.await_exit(), 0);
    assert_eq!(stdout.read_until("\n"), "hi\n");
    assert!(shim.child.wait().unwrap().success());
}

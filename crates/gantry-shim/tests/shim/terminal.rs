//! Processes with a terminal.

use crate::support::{Container, Reader, open_writer};
use gantry_record::control::ControlMessage;
use gantry_record::layout::name;
use gantry_record::{ProcessRecord, log, ready};
use serde_json::json;
use std::io::Write;

fn streams(container: &Container, prefix: &str) -> ProcessRecord {
    let record = container.streams(prefix);
    // Clients name a path for standard error that does not exist.
    std::fs::remove_file(&record.stderr).unwrap();
    record
}

#[test]
fn a_terminal_echoes_and_is_resized() {
    let container = Container::new(&["sh", "-c", "stty size; read line; stty size; exit 5"]).with_terminal();
    let record = streams(&container, "init");
    let (stdin, stdout) = (record.stdin.clone(), Reader::open(&record.stdout));
    let mut shim = container.init(record);
    // Before there is a terminal.
    shim.send(ControlMessage::Resize { width: 100, height: 40 });
    shim.await_ready();
    container.start();
    stdout.read_until("40 100\r\n");
    shim.send(ControlMessage::Resize { width: 90, height: 30 });
    let mut client = open_writer(&stdin);
    client.write_all(b"typed\n").unwrap();
    stdout.read_until("typed\r\n30 90\r\n");
    assert_eq!(shim.await_exit(), 5);
    assert_eq!(stdout.text(), "");
    assert!(!shim.dir.file("pty.sock").exists());
    assert!(shim.child.wait().unwrap().success());
}

#[test]
fn the_size_of_the_process_object_holds_from_the_start() {
    let (container, _init) = {
        let container = Container::new(&["sleep", "1000"]);
        let mut shim = container.init(ProcessRecord::default());
        shim.await_ready();
        container.start();
        (container, shim)
    };
    let record = streams(&container, "exec");
    let stdout = Reader::open(&record.stdout);
    let extra = json!({"terminal": true, "consoleSize": {"height": 33, "width": 77}});
    let mut exec = container.exec_with("e1", record, &["sh", "-c", "sleep 0.2; stty size"], &extra);
    exec.await_ready();
    assert_eq!(exec.await_exit(), 0);
    assert_eq!(stdout.text(), "33 77\r\n");
}

#[test]
fn all_of_a_long_output_arrives() {
    let script = "stty -opost; i=0; while test $i -lt 20000; do echo line $i; i=$((i+1)); done";
    let container = Container::new(&["sh", "-c", script]).with_terminal();
    let record = streams(&container, "init");
    let stdout = record.stdout.clone();
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    let text = Reader::open(&stdout).text();
    let expected: String = (0..20_000).map(|i| format!("line {i}\n")).collect();
    assert_eq!(text.len(), expected.len());
    assert!(text == expected, "bytes were changed");
    assert_eq!(shim.await_exit(), 0);
}

#[test]
fn a_late_reader_finds_what_was_written_last() {
    let container = Container::new(&["echo", "hi"]).with_terminal();
    let record = streams(&container, "init");
    let stdout = record.stdout.clone();
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    assert_eq!(shim.await_exit(), 0);
    assert_eq!(std::fs::read_to_string(stdout).unwrap(), "hi\r\n");
    assert!(shim.child.wait().unwrap().success());
}

#[test]
fn close_stdin_does_not_close_the_terminal() {
    let container = Container::new(&["sh", "-c", "read line; echo got $line"]).with_terminal();
    let record = streams(&container, "init");
    let (stdin, stdout) = (record.stdin.clone(), Reader::open(&record.stdout));
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    let mut client = open_writer(&stdin);
    shim.send(ControlMessage::CloseStdin);
    client.write_all(b"x\n").unwrap();
    drop(client);
    stdout.read_until("got x\r\n");
    assert_eq!(shim.await_exit(), 0);
}

#[test]
fn a_terminal_into_a_plain_file() {
    let container = Container::new(&["echo", "hi"]).with_terminal();
    let log = container.path("log");
    let record = ProcessRecord { stdout: log.to_str().unwrap().to_owned(), ..ProcessRecord::default() };
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    assert_eq!(shim.await_exit(), 0);
    assert_eq!(std::fs::read_to_string(log).unwrap(), "hi\r\n");
}

#[test]
fn a_runtime_that_fails_leaves_no_socket() {
    let container = Container::new(&["no-such-command"]).with_terminal();
    let record = streams(&container, "init");
    let mut shim = container.init(record);
    assert_eq!(shim.readiness(), ready::HELLO);
    assert!(shim.child.wait().unwrap().success());
    assert!(!shim.dir.file("pty.sock").exists());
    assert!(log::first_error(&shim.dir.file(name::RUNTIME_LOG)).unwrap().is_some());
}

#[test]
fn many_short_lines_wait_for_a_late_reader() {
    let script = "i=0; while test $i -lt 3000; do echo line $i; i=$((i+1)); done; echo > /tmp/done; cat";
    let container = Container::new(&["sh", "-c", script]).with_terminal();
    let record = streams(&container, "init");
    let stdout = record.stdout.clone();
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    let done = container.path("bundle/rootfs/tmp/done");
    while !done.exists() {
        assert!(!shim.has_exited());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let text = Reader::open(&stdout).read_until("line 2999\r\n");
    let expected: String = (0..3000).map(|i| format!("line {i}\r\n")).collect();
    assert_eq!(text, expected);
}

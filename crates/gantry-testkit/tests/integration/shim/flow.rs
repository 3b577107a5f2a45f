//! Bytes on their way: none is lost or changed, and nobody who waits for the other side keeps anybody else waiting.

use super::{close_stdin, daemon, digest, fifos, random_file, resize, run_with};
use crate::support::{Api, SOON, each_runtime, exec_request};
use gantry_api::types::AddProcessRequest;
use gantry_testkit::{Daemon, DaemonOptions, Leaks, Runtime, wait_until};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::thread::{self, JoinHandle};

each_runtime!(a_container_whose_output_nobody_reads_waits_alone);

const MIB: u64 = 1 << 20;

/// How much stands unread in a FIFO.
fn unread(path: &Path) -> u64 {
    let fifo = rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    rustix::io::ioctl_fionread(fifo).unwrap()
}

/// A client that reads from the first byte to the end, and keeps their number and their digest: a copy of it all would
/// need a disk with room for it.
fn count_and_digest(fifo: &Path) -> JoinHandle<(u64, String)> {
    let fifo = fifo.to_owned();
    // The kernel moves the bytes by itself (splice(2)).
    thread::spawn(move || digest(|to| io::copy(&mut File::open(fifo).unwrap(), to).unwrap()))
}

fn a_container_whose_output_nobody_reads_waits_alone(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let script = "i=0; while test $i -lt 100000; do echo line $i; i=$((i+1)); done; read line; \
                  test ! -t 1 || test \"$(stty size)\" = '20 77' && exit 3";
    for terminal in [false, true] {
        let bundle = daemon.bundle().shell(script).terminal(terminal).build();
        let stdio = fifos(&bundle, "init");
        let init = run_with(&api, &bundle, &stdio);
        wait_until("a full FIFO", SOON, || unread(stdio.stdout.path()) >= 30_000);
        // Its shim still obeys, and other processes of the container do not notice.
        if terminal {
            resize(&api, bundle.id(), 77);
        } else {
            close_stdin(&api, bundle.id(), "init");
        }
        api.add_process(exec_request(bundle.id(), "e1", &["sh", "-c", "exit 5"])).unwrap();
        assert_eq!(events.exit_of(bundle.id(), "e1"), 5);
        assert!(init.is_alive());
        // The reader that comes at last finds every line.
        let lines = stdio.stdout.lines();
        for number in 0..100_000 {
            assert_eq!(lines.next(SOON), Some(format!("line {number}")));
        }
        if terminal {
            // The end of a terminal's input is something that is typed.
            stdio.stdin.write("\n");
        }
        assert_eq!(events.exit_of(bundle.id(), "init"), 3);
        leaks.assert_clean();
    }
}

#[test]
fn a_gigabyte_arrives_unchanged() {
    arrives_unchanged(&format!("cat{}; exit 4", " /random".repeat(128)), false, 128);
}

#[test]
fn a_terminal_changes_no_byte() {
    arrives_unchanged(&format!("stty raw -echo; cat{}; exit 4", " /random".repeat(8)), true, 8);
}

/// Lets a script write `/random`, 8 MiB, so many times, and compares what a client got.
fn arrives_unchanged(script: &str, terminal: bool, times: usize) {
    let daemon = daemon();
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().shell(script).terminal(terminal).build();
    let expected = random_file(&bundle, 8 * MIB, times);
    let stdio = fifos(&bundle, "init");
    let client = count_and_digest(stdio.stdout.path());
    let api = Api::connect(&daemon);
    let mut events = api.events();
    run_with(&api, &bundle, &stdio);
    assert_eq!(events.exit_of(bundle.id(), "init"), 4);
    assert_eq!(client.join().unwrap(), expected);
    leaks.assert_clean();
}

/// What was sent before `close stdin` is read before the end of file, however large it is and whoever restarts
/// meanwhile; and the end comes only when the last client has gone too.
#[test]
fn input_ends_after_its_last_byte() {
    let mut daemon = daemon();
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let api = Api::connect(&daemon);
    api.run(&bundle);
    let start = |api: &Api, id: &str| {
        let stdio = fifos(&bundle, id);
        let lines = stdio.stdout.lines();
        let (stdin, stdout) = (stdio.stdin.text(), stdio.stdout.text());
        let request = exec_request(bundle.id(), id, &["sh", "-c", "echo ready; wc -c; echo end"]);
        api.add_process(AddProcessRequest { stdin, stdout, ..request }).unwrap();
        assert_eq!(lines.next(SOON).as_deref(), Some("ready"));
        (stdio, lines)
    };
    let (stdio, lines) = start(&api, "large");
    let mut client = stdio.stdin.writer();
    // It is told while the client is still writing.
    let writing = thread::spawn(move || {
        client.write_all(&vec![b'x'; 1_000_000]).unwrap();
        client
    });
    close_stdin(&api, bundle.id(), "large");
    // Once more says nothing new.
    close_stdin(&api, bundle.id(), "large");
    let client = writing.join().unwrap();
    let (empty, nothing) = start(&api, "empty");
    daemon.kill_hard();
    daemon.restart();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    // Without any client at all.
    close_stdin(&api, bundle.id(), "empty");
    assert_eq!(nothing.next(SOON).as_deref(), Some("0"));
    assert_eq!(nothing.next(SOON).as_deref(), Some("end"));
    assert_eq!(events.exit_of(bundle.id(), "empty"), 0);
    assert_eq!(api.find(bundle.id()).unwrap().1, ["init", "large"], "a client still has its input open");
    drop((client, empty));
    assert_eq!(lines.next(SOON).as_deref(), Some("1000000"));
    assert_eq!(lines.next(SOON).as_deref(), Some("end"));
    assert_eq!(events.exit_of(bundle.id(), "large"), 0);
    api.signal(bundle.id(), "init", 9).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), 137);
    leaks.assert_clean();
}

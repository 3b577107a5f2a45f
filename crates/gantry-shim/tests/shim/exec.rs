//! Further processes in a running container.

use crate::support::{Container, Reader, Shim};
use gantry_record::layout::name;
use gantry_record::{ProcessRecord, log, ready};
use rustix::process::{Pid, Signal, kill_process};

fn running() -> (Container, Shim) {
    let container = Container::new(&["sleep", "1000"]);
    let mut shim = container.init(ProcessRecord::default());
    shim.await_ready();
    container.start();
    (container, shim)
}

#[test]
fn an_exec_has_its_own_status_and_output() {
    let (container, init) = running();
    let record = container.streams("exec");
    let stdout = Reader::open(&record.stdout);
    let mut exec = container.exec("e1", record, &["sh", "-c", "echo from exec; exit 3"]);
    exec.await_ready();
    assert_eq!(exec.await_exit(), 3);
    assert_eq!(stdout.text(), "from exec\n");
    assert!(!init.has_exited() && !exec.dir.file(name::DELETED).exists());
}

#[test]
fn an_exec_that_cannot_run_leaves_init_alone() {
    let (container, init) = running();
    let mut exec = container.exec("e1", ProcessRecord::default(), &["no-such-command"]);
    assert_eq!(exec.readiness(), ready::HELLO);
    assert!(exec.child.wait().unwrap().success());
    assert!(
        log::first_error(&exec.dir.file(name::RUNTIME_LOG)).unwrap().unwrap().contains("no-such-command")
    );
    assert!(!init.has_exited());
}

#[test]
fn a_background_child_that_shares_the_output_keeps_the_exec_running() {
    let (container, _init) = running();
    let record = container.streams("exec");
    let stdout = Reader::open(&record.stdout);
    let gate = "while test ! -e /tmp/go; do sleep 0.05; done; echo late";
    let mut exec = container.exec("e1", record, &["sh", "-c", &format!("({gate}) & echo early")]);
    exec.await_ready();
    stdout.read_until("early\n");
    crate::support::await_death(exec.pid());
    assert!(!exec.has_exited());
    std::fs::write(container.path("bundle/rootfs/tmp/go"), "").unwrap();
    assert_eq!(exec.await_exit(), 0);
    assert_eq!(stdout.text(), "late\n");
}

#[test]
fn the_same_with_a_client_that_also_writes() {
    let (container, _init) = running();
    let record = container.streams("exec");
    let stdout = Reader::open_read_write(&record.stdout);
    let _stderr = Reader::open_read_write(&record.stderr);
    let gate = "while test ! -e /tmp/go; do sleep 0.05; done; echo late";
    let mut exec = container.exec("e1", record, &["sh", "-c", &format!("({gate}) & echo early")]);
    exec.await_ready();
    stdout.read_until("early\n");
    crate::support::await_death(exec.pid());
    assert!(!exec.has_exited());
    std::fs::write(container.path("bundle/rootfs/tmp/go"), "").unwrap();
    assert_eq!(exec.await_exit(), 0);
    assert_eq!(stdout.read_until("\n"), "late\n");
}

#[test]
fn a_background_child_with_its_own_streams_does_not() {
    let (container, _init) = running();
    let record = container.streams("exec");
    let script = "sleep 1000 >/dev/null 2>&1 </dev/null &";
    let mut exec = container.exec("e1", record, &["sh", "-c", script]);
    exec.await_ready();
    assert_eq!(exec.await_exit(), 0);
}

#[test]
fn the_end_of_init_ends_its_execs() {
    let (container, init) = running();
    let mut exec = container.exec("e1", ProcessRecord::default(), &["sleep", "1000"]);
    exec.await_ready();
    kill_process(Pid::from_raw(init.pid()).unwrap(), Signal::KILL).unwrap();
    assert_eq!((exec.await_exit(), init.await_exit()), (137, 137));
}

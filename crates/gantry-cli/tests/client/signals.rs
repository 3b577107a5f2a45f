//! Signals and streams that end.

use std::io::Read;
use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{Setup, finish};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

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

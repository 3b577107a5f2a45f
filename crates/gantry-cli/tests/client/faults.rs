//! A daemon that is not there, or goes and comes back.

use std::io::{Read, Write};
use std::thread::sleep;
use std::time::Duration;

use super::{Setup, finish, wait_for};

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

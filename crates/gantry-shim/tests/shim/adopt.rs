//! A shim that is killed, and its successor.
//!
//! The test plays the daemon's two parts in it: it holds the other ends of what the shim holds, and, being a subreaper,
//! becomes the parent of the process and reaps it.

use crate::support::{Container, Reader, Shim, await_event, open_writer};
use gantry_record::ProcessRecord;
use gantry_record::control::ControlMessage;
use gantry_record::layout::name;
use gantry_record::log;
use rustix::event::PollFlags;
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Signal, WaitOptions, kill_process, pidfd_getfd, pidfd_open, waitpid,
};
use std::io::Write;
use std::os::fd::OwnedFd;

/// As the daemon, or pid 1, does with what it adopted.
pub(crate) fn reap(pid: i32) {
    waitpid(Pid::from_raw(pid), WaitOptions::empty()).unwrap();
}

pub(crate) fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// The master side of the terminal of the shim's process.
pub(crate) fn terminal_of(shim: &Shim) -> OwnedFd {
    let pidfd = pidfd_open(Pid::from_child(&shim.child), PidfdFlags::empty()).unwrap();
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", shim.child.id())).unwrap();
    let is_master = |entry: &std::fs::DirEntry| {
        std::fs::read_link(entry.path()).is_ok_and(|target| target.ends_with("ptmx"))
    };
    let entry = descriptors.flatten().find(is_master).expect("the shim has no terminal");
    let number = entry.file_name().to_str().unwrap().parse().unwrap();
    pidfd_getfd(pidfd, number, PidfdGetfdFlags::empty()).unwrap()
}

/// Everything that a shim's end means for its container.
fn assert_ended_well(container: &Container, shim: &mut Shim) {
    assert!(shim.child.wait().unwrap().success());
    assert!(shim.dir.file(name::DELETED).exists(), "{}", shim.logs());
    assert!(!container.runtime(&["state"]).status.success());
    assert_eq!(shim.logs(), "");
}

#[test]
fn output_goes_on_without_a_gap_and_the_status_is_true() {
    let script = "i=0; while read line; do echo $line $i; i=$((i+1)); done; exit 42";
    let container = Container::new(&["sh", "-c", script]);
    let record = container.streams("init");
    // The daemon's second holders.
    let (stdin, stdout) = (open_both(&record.stdin), Reader::open(&record.stdout));
    let mut shim = container.init(record.clone());
    shim.await_ready();
    container.start();
    let pid = shim.pid();
    for round in 0..5 {
        open_writer(&record.stdin).write_all(b"before\n").unwrap();
        stdout.read_until(&format!("before {}\n", 2 * round));
        // Nobody but the test holds anything for a while; output must neither fail nor be lost.
        shim = {
            let dir = shim.dir.clone();
            let mut dead = shim;
            dead.child.kill().unwrap();
            dead.child.wait().unwrap();
            open_writer(&record.stdin).write_all(b"between\n").unwrap();
            assert_eq!(dir.exit_status().unwrap(), None);
            container.adopt(dead, None)
        };
        shim.await_ready();
    }
    drop(stdin);
    shim.send(ControlMessage::CloseStdin);
    reap(pid);
    assert_eq!(shim.await_exit(), 42);
    assert!(stdout.text().ends_with("between 9\n"));
    assert_ended_well(&container, &mut shim);
}

pub(crate) fn open_both(path: &str) -> Reader {
    Reader::open_read_write(path)
}

#[test]
fn the_status_is_the_process_own() {
    for (script, expected) in [("read x; exit 0", 0), ("read x; exit 7", 7), ("read x; kill -9 $$", 137)] {
        let pid_namespace_spares_its_init = expected == 137;
        let container = Container::new(&["sh", "-c", script]);
        let container =
            if pid_namespace_spares_its_init { container.without_pid_namespace() } else { container };
        let record = container.streams("init");
        let holder = open_both(&record.stdin);
        let mut shim = container.init(record);
        shim.await_ready();
        container.start();
        let pid = shim.pid();
        let mut shim = container.adopt(shim, None);
        shim.await_ready();
        drop(holder);
        shim.send(ControlMessage::CloseStdin);
        reap(pid);
        assert_eq!(shim.await_exit(), expected);
        assert_ended_well(&container, &mut shim);
    }
}

#[test]
fn a_process_that_is_killed_is_137() {
    let container = Container::new(&["sleep", "1000"]);
    let mut shim = container.init(ProcessRecord::default());
    shim.await_ready();
    container.start();
    let pid = shim.pid();
    let mut shim = container.adopt(shim, None);
    shim.await_ready();
    kill(pid);
    reap(pid);
    assert_eq!(shim.await_exit(), 137);
    assert_ended_well(&container, &mut shim);
}

#[test]
fn one_that_ended_before_but_waits_to_be_reaped_has_its_status() {
    let container = Container::new(&["sleep", "1000"]);
    let mut shim = container.init(ProcessRecord::default());
    shim.await_ready();
    container.start();
    let pid = shim.pid();
    // So that the shim cannot reap it.
    kill_process(Pid::from_child(&shim.child), Signal::STOP).unwrap();
    kill(pid);
    let mut shim = container.adopt(shim, None);
    shim.await_ready();
    reap(pid);
    assert_eq!(shim.await_exit(), 137);
    assert_ended_well(&container, &mut shim);
}

#[test]
fn one_that_nobody_reaps_is_unknown() {
    let container = Container::new(&["sleep", "1000"]);
    let mut shim = container.init(ProcessRecord::default());
    shim.await_ready();
    container.start();
    let pid = shim.pid();
    let mut shim = container.adopt(shim, None);
    shim.await_ready();
    kill(pid);
    assert_eq!(shim.await_exit(), 255);
    assert!(
        shim.logs().contains(r#"{"level":"warn","msg":"nobody has reaped the process"#),
        "{}",
        shim.logs()
    );
    assert!(shim.child.wait().unwrap().success());
    assert!(!container.runtime(&["state"]).status.success());
    reap(pid);
}

#[test]
fn one_that_is_gone_is_left_to_the_daemon() {
    let container = Container::new(&["sleep", "1000"]);
    let mut shim = container.init(ProcessRecord::default());
    shim.await_ready();
    container.start();
    let pid = shim.pid();
    kill_process(Pid::from_child(&shim.child), Signal::STOP).unwrap();
    kill(pid);
    // The test becomes the parent when the shim dies; then the process is gone for good.
    shim.child.kill().unwrap();
    shim.child.wait().unwrap();
    reap(pid);
    let mut shim = container.adopt(shim, None);
    shim.await_ready();
    await_event(&shim.exit, PollFlags::empty(), "the exit");
    assert_eq!(shim.dir.exit_status().unwrap(), None);
    assert!(shim.logs().contains("before this shim came"), "{}", shim.logs());
    assert!(shim.dir.file(name::DELETED).exists());
    assert!(!container.runtime(&["state"]).status.success());
}

#[test]
fn a_stranger_with_the_same_pid_is_never_taken_for_it() {
    let container = Container::new(&["sleep", "1000"]);
    let mut shim = container.init(ProcessRecord::default());
    shim.await_ready();
    container.start();
    let (pid, mine) = (shim.pid(), std::process::id());
    let folder = shim.dir.clone();
    kill_process(Pid::from_child(&shim.child), Signal::STOP).unwrap();
    std::fs::write(folder.file(name::PID), mine.to_string()).unwrap();
    let mut shim = container.adopt(shim, None);
    shim.await_ready();
    await_event(&shim.exit, PollFlags::empty(), "the exit");
    assert_eq!(shim.dir.exit_status().unwrap(), None);
    kill(pid);
    reap(pid);
}

#[test]
fn a_terminal_goes_on() {
    let script = "while read line; do echo got $line; stty size; done";
    let container = Container::new(&["sh", "-c", script]).with_terminal();
    let record = container.streams("init");
    std::fs::remove_file(&record.stderr).unwrap();
    let (holder, stdout) = (open_both(&record.stdin), Reader::open(&record.stdout));
    let mut shim = container.init(record.clone());
    shim.await_ready();
    container.start();
    let pid = shim.pid();
    let master = terminal_of(&shim);
    for round in 1..4_u16 {
        let mut successor = container.adopt(shim, Some(master.try_clone().unwrap()));
        successor.await_ready();
        successor.send(ControlMessage::Resize { width: 80 + round, height: 24 });
        open_writer(&record.stdin).write_all(format!("line {round}\n").as_bytes()).unwrap();
        stdout.read_until(&format!("got line {round}\r\n24 8{round}\r\n"));
        shim = successor;
    }
    drop(holder);
    kill(pid);
    reap(pid);
    drop(master);
    assert_eq!(shim.await_exit(), 137);
    assert_ended_well(&container, &mut shim);
}

#[test]
fn what_is_no_terminal_is_refused_and_harms_nothing() {
    let container = Container::new(&["cat"]).with_terminal();
    let record = container.streams("init");
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    let (pid, master) = (shim.pid(), terminal_of(&shim));
    let mut refused = container.adopt(shim, None);
    assert_eq!(refused.readiness(), gantry_record::ready::HELLO);
    assert_eq!(refused.child.wait().unwrap().code(), Some(1));
    let error = log::first_error(&refused.dir.file(name::SHIM_LOG)).unwrap().unwrap();
    assert!(error.contains("the daemon handed over a descriptor that is no terminal"), "{error}");
    assert!(container.runtime(&["state"]).status.success());
    std::fs::write(refused.dir.file(name::SHIM_LOG), "").unwrap();
    let mut shim = container.adopt(refused, Some(master));
    shim.await_ready();
    kill(pid);
    reap(pid);
    assert_eq!(shim.await_exit(), 137);
    assert_ended_well(&container, &mut shim);
}

#[test]
fn an_exec_has_a_successor_too_and_waits_for_its_background_children() {
    for client_also_writes in [false, true] {
        let container = Container::new(&["sleep", "1000"]);
        let mut init = container.init(ProcessRecord::default());
        init.await_ready();
        container.start();
        let record = container.streams("exec");
        let open = if client_also_writes { Reader::open_read_write } else { Reader::open };
        let (stdout, stderr) = (open(&record.stdout), open(&record.stderr));
        let gate = "while test ! -e /tmp/go; do sleep 0.05; done; echo late";
        let script = format!("({gate}) & echo early; while test ! -e /tmp/end; do sleep 0.05; done; exit 6");
        let mut exec = container.exec("e1", record, &["sh", "-c", &script]);
        exec.await_ready();
        stdout.read_until("early\n");
        let pid = exec.pid();
        let mut exec = container.adopt(exec, None);
        exec.await_ready();
        std::fs::write(container.path("bundle/rootfs/tmp/end"), "").unwrap();
        reap(pid);
        await_file(&exec, name::EXIT_STATUS);
        assert!(!exec.has_exited());
        std::fs::write(container.path("bundle/rootfs/tmp/go"), "").unwrap();
        assert_eq!(exec.await_exit(), 6);
        assert_eq!(stdout.read_until("late\n"), "late\n");
        assert!(!exec.dir.file(name::DELETED).exists() && !init.has_exited());
        drop(stderr);
    }
}

fn await_file(shim: &Shim, name: &str) {
    while !shim.dir.file(name).exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn the_rest_of_a_container_without_a_pid_namespace_is_killed() {
    let container = Container::new(&["sh", "-c", "sleep 1000 & echo $!; sleep 1000"]).without_pid_namespace();
    let record = container.streams("init");
    let stdout = Reader::open(&record.stdout);
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    let pid = shim.pid();
    let grandchild: i32 = stdout.read_until("\n").trim().parse().unwrap();
    let mut shim = container.adopt(shim, None);
    shim.await_ready();
    kill(pid);
    reap(pid);
    assert_eq!(shim.await_exit(), 137);
    reap(grandchild);
    assert_ended_well(&container, &mut shim);
}

#[test]
fn streams_without_a_name_do_not_stop_it() {
    let container = Container::new(&["sh", "-c", "read x; echo $x; exit 3"]);
    let record = container.streams("init");
    let (holder, stdout) = (open_both(&record.stdin), Reader::open(&record.stdout));
    let mut shim = container.init(record.clone());
    shim.await_ready();
    container.start();
    for path in [&record.stdin, &record.stdout, &record.stderr] {
        std::fs::remove_file(path).unwrap();
    }
    let pid = shim.pid();
    let mut shim = container.adopt(shim, None);
    shim.await_ready();
    holder.write(b"hi\n");
    reap(pid);
    assert_eq!(shim.await_exit(), 3);
    assert_eq!(stdout.text(), "hi\n");
    assert_eq!(log::first_error(&shim.dir.file(name::SHIM_LOG)).unwrap(), None);
}

#[test]
fn no_byte_of_a_terminal_is_lost_or_doubled_by_a_death() {
    let script = "stty -opost; i=0; while test $i -lt 60000; do echo line $i; i=$((i+1)); done";
    let container = Container::new(&["sh", "-c", script]).with_terminal();
    let record = container.streams("init");
    std::fs::remove_file(&record.stderr).unwrap();
    // With a terminal the shim is the only writer, so the daemon holds that end too.
    let stdout = open_both(&record.stdout);
    let mut shim = container.init(record);
    shim.await_ready();
    let master = terminal_of(&shim);
    container.start();
    let pid = shim.pid();
    let reader = std::thread::spawn(move || stdout.read_until("line 59999\n"));
    let mut deaths = 0;
    while !reader.is_finished() {
        std::thread::sleep(std::time::Duration::from_millis(7));
        shim = container.adopt(shim, Some(master.try_clone().unwrap()));
        shim.await_ready();
        deaths += 1;
    }
    let text = reader.join().unwrap();
    for (number, line) in text.lines().enumerate() {
        assert_eq!(line, format!("line {number}"), "after {deaths} deaths");
    }
    assert!(deaths > 1, "{deaths}");
    drop(master);
    reap(pid);
    assert_eq!(shim.await_exit(), 0);
}

#[test]
fn what_a_shim_had_left_to_do_after_the_exit_is_done() {
    let container = Container::new(&["sh", "-c", "echo last; exit 5"]);
    let log = gantry_record::container_log::LogTarget::new(container.path("log"));
    let mut shim = container.init(ProcessRecord { stdout: log.to_string(), ..ProcessRecord::default() });
    shim.await_ready();
    let holder = open_both(shim.dir.file(name::STDOUT).to_str().unwrap());
    // Without a word that it was started the shim waits before it deletes the container.
    assert!(container.runtime(&["start"]).status.success());
    await_file(&shim, name::EXIT_STATUS);
    // As if it had died before it could log the last line.
    shim.child.kill().unwrap();
    shim.child.wait().unwrap();
    holder.write(b"the very last\n");
    shim.dir.mark_started().unwrap();
    let mut shim = container.adopt(shim, None);
    shim.await_ready();
    drop(holder);
    assert_eq!(shim.await_exit(), 5);
    assert!(std::fs::read_to_string(log.path).unwrap().ends_with(" stdout F the very last\n"));
    assert_ended_well(&container, &mut shim);
}

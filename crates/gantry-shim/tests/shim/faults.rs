//! Damage from outside.

use crate::support::{Container, Reader, Shim, await_death, await_event, script};
use gantry_record::control::ControlMessage;
use gantry_record::layout::name;
use gantry_record::{ExitStatus, ProcessRecord, log, ready};
use rustix::event::PollFlags;
use rustix::process::{Pid, Signal, kill_process};
use std::path::PathBuf;

#[test]
fn a_daemon_that_died_is_no_reason_to_stop() {
    let container = Container::new(&["sh", "-c", "echo hi; exit 4"]);
    let record = container.streams("init");
    let stdout = Reader::open(&record.stdout);
    let mut shim = container.init(record);
    shim.lose_daemon();
    // Nobody says when it is ready: the container's state does.
    while !container.runtime(&["start"]).status.success() {
        assert!(shim.child.try_wait().unwrap().is_none(), "{}", shim.logs());
    }
    shim.dir.mark_started().unwrap();
    assert_eq!(shim.await_exit(), 4);
    assert_eq!(stdout.text(), "hi\n");
}

#[test]
fn garbage_in_control_is_skipped() {
    let container = Container::new(&["cat"]);
    let record = container.streams("init");
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    shim.send_bytes(b"\0\xff\xfe garbage\n7 7 7\n1 1\n1 x y\n");
    shim.send_bytes(&[b'9'; 5000]);
    shim.send_bytes(b"\n");
    shim.send(ControlMessage::Resize { width: 1, height: 1 });
    shim.send(ControlMessage::CloseStdin);
    assert_eq!(shim.await_exit(), 0);
}

#[test]
fn signals_that_ask_it_to_stop_are_ignored() {
    let container = Container::new(&["cat"]);
    let record = container.streams("init");
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    let pid = Pid::from_child(&shim.child);
    for signal in
        [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::PIPE, Signal::USR1, Signal::ALARM]
    {
        kill_process(pid, signal).unwrap();
    }
    shim.send(ControlMessage::CloseStdin);
    assert_eq!(shim.await_exit(), 0);
}

fn shim_with(container: &Container, runtime: &str, terminal: bool) -> Shim {
    let dir = gantry_record::ProcessDir::new(container.path("state/init"));
    let mut record = ProcessRecord { stderr: container.fifo("stderr"), ..ProcessRecord::default() };
    if terminal {
        record.process.insert("terminal".to_owned(), true.into());
    }
    dir.create(&record).unwrap();
    Shim::spawn(dir, "c", &container.path("bundle"), runtime)
}

#[test]
fn a_killed_shim_takes_its_runtime_along() {
    let container = Container::new(&["true"]);
    let started = container.fifo("started");
    let runtime = script(&container, &format!("echo $$ > {started}; exec sleep 1000"));
    let reader = Reader::open(&started);
    let mut shim = shim_with(&container, runtime.to_str().unwrap(), false);
    let pid: i32 = reader.read_until("\n").trim().parse().unwrap();
    shim.child.kill().unwrap();
    await_death(pid);
}

#[test]
fn a_missing_runtime_is_named() {
    let container = Container::new(&["true"]);
    let mut shim = shim_with(&container, "no-such-runtime", false);
    assert_eq!(shim.readiness(), ready::HELLO);
    assert_eq!(shim.child.wait().unwrap().code(), Some(1));
    let error = log::first_error(&shim.dir.file(name::SHIM_LOG)).unwrap();
    assert_eq!(error.as_deref(), Some("no-such-runtime not installed on system"));
}

#[test]
fn a_runtime_that_logs_nothing_is_quoted() {
    for terminal in [true, false] {
        let container = Container::new(&["true"]);
        let runtime = script(&container, "echo 'what it says' >&2; exit 3");
        let mut shim = shim_with(&container, runtime.to_str().unwrap(), terminal);
        assert_eq!(shim.readiness(), ready::HELLO);
        assert!(shim.child.wait().unwrap().success());
        let error = log::first_error(&shim.dir.file(name::SHIM_LOG)).unwrap().unwrap();
        assert!(error.contains("exit status: 3") && error.ends_with("it printed: what it says"), "{error}");
    }
}

#[test]
fn a_runtime_that_forgets_the_pid_is_an_error() {
    let container = Container::new(&["true"]);
    let runtime = script(&container, "exit 0");
    let mut shim = shim_with(&container, runtime.to_str().unwrap(), false);
    assert_eq!(shim.readiness(), ready::HELLO);
    assert_eq!(shim.child.wait().unwrap().code(), Some(1));
    let error = log::first_error(&shim.dir.file(name::SHIM_LOG)).unwrap().unwrap();
    assert!(error.contains("without writing its pid file"), "{error}");
}

#[test]
fn a_state_dir_that_is_gone_leaves_the_exit_fifo_as_second_path() {
    let container = Container::new(&["sleep", "1000"]);
    let mut shim = container.init(ProcessRecord::default());
    shim.await_ready();
    container.start();
    let pid = shim.pid();
    shim.dir.remove().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    await_event(&shim.exit, PollFlags::IN, "the status");
    let mut text = [0_u8; 16];
    let count = rustix::io::read(&shim.exit, &mut text).unwrap();
    let status = ExitStatus::parse(std::str::from_utf8(&text[..count]).unwrap());
    assert_eq!(status, Some(ExitStatus::KILLED));
    assert!(shim.child.wait().unwrap().success());
    assert!(!container.runtime(&["state"]).status.success());
}

#[test]
fn a_container_of_somebody_else_survives_the_clash() {
    let container = Container::new(&["sleep", "1000"]);
    let mut shim = container.init(ProcessRecord::default());
    shim.await_ready();
    container.start();
    // Another bundle, the same id in the same runtime.
    let other = container.path("other");
    std::fs::create_dir(&other).unwrap();
    for name in ["rootfs", "config.json"] {
        std::os::unix::fs::symlink(container.path("bundle").join(name), other.join(name)).unwrap();
    }
    let dir = gantry_record::ProcessDir::new(container.path("state/clash"));
    let record = shim.dir.load().unwrap();
    dir.create(&record).unwrap();
    let mut clash = Shim::spawn(dir, container.id(), &other, "runc");
    assert_eq!(clash.readiness(), ready::HELLO);
    clash.child.wait().unwrap();
    assert!(log::first_error(&clash.dir.file(name::RUNTIME_LOG)).unwrap().is_some());
    assert!(container.runtime(&["state"]).status.success() && !shim.has_exited());
}

/// A file system of a few pages over a folder.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn over(path: PathBuf) -> Self {
        rustix::mount::mount("none", &path, "tmpfs", rustix::mount::MountFlags::empty(), c"size=256k")
            .unwrap();
        Self(path)
    }

    /// Leaves no room for another page.
    pub(crate) fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        while std::io::Write::write(&mut file, &[0; 4096]).is_ok() {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_leaves_the_exit_fifo_as_second_path() {
    let container = Container::new(&["sleep", "1000"]);
    let disk = SmallDisk::over(container.path("state"));
    let mut shim = container.init(ProcessRecord::default());
    shim.await_ready();
    container.start();
    disk.fill();
    kill_process(Pid::from_raw(shim.pid()).unwrap(), Signal::KILL).unwrap();
    await_event(&shim.exit, PollFlags::IN, "the status");
    let mut text = [0_u8; 16];
    let count = rustix::io::read(&shim.exit, &mut text).unwrap();
    assert_eq!(&text[..count], b"137\n");
    assert!(shim.child.wait().unwrap().success());
    // Whoever has read it may be killed: it is in the name of a link too, which takes no room.
    assert!(!shim.dir.file(name::EXIT_STATUS).exists());
    assert_eq!(shim.dir.exit_status().unwrap(), Some(ExitStatus::KILLED));
    assert!(!container.runtime(&["state"]).status.success());
}

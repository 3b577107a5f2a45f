//! An upgrade in place: a state dir as containerd 0.2.9 writes it, with its shims and containers running, and gantryd
//! started on it.

use crate::support::{
    Api, KILLED, SIGKILL, SOON, assert_starts_and_exits_match, create_request, exec_request, shown,
};
use gantry_api::types::{AddProcessRequest, UpdateProcessRequest};
use gantry_testkit::{
    Bundle, Daemon, DaemonOptions, Fifo, Leaks, Process, Runtime, RuntimeCommand, Scratch, StdioFifos,
    finish, wait_for,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

const OLD_SHIM: &str = include_str!("support/old-shim.py");

/// A containerd 0.2.9 as far as what it leaves: files, FIFOs, shims, containers.
struct OldDaemon {
    scratch: Arc<Scratch>,
    state_dir: PathBuf,
    shim: PathBuf,
    runc: RuntimeCommand,
    shims: Vec<Child>,
}

impl OldDaemon {
    fn new() -> Self {
        let scratch = Scratch::new();
        let state_dir = scratch.path().join("state");
        fs::create_dir(&state_dir).unwrap();
        let shim = scratch.path().join("containerd-shim");
        fs::write(&shim, OLD_SHIM).unwrap();
        fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).unwrap();
        let runc = Runtime::Runc.command(&scratch);
        Self { scratch, state_dir, shim, runc, shims: Vec::new() }
    }

    fn log(&self, line: &str) {
        let path = self.state_dir.join("events.log");
        let mut log = OpenOptions::new().create(true).append(true).mode(0o755).open(path).unwrap();
        writeln!(log, "{line}").unwrap();
    }

    /// Section 2 of its specification: `state.json`, and init's folder.
    fn create(&mut self, bundle: &Bundle, stdio: &StdioFifos, shim: &str) -> Process {
        let folder = self.state_dir.join(bundle.id());
        fs::create_dir(&folder).unwrap();
        let state = json!({
            "bundle": bundle.path(), "labels": ["old=yes"], "stdin": "", "stdout": "", "stderr": "",
            "runtime": self.runc.program, "runtimeArgs": self.runc.args, "shim": shim, "noPivotRoot": false,
        });
        fs::write(folder.join("state.json"), format!("{state}\n")).unwrap();
        let process = bundle.config()["process"].clone();
        let init = self.start(bundle, "init", process, stdio);
        let mut start = self.runc.subcommand("start");
        finish(start.arg(bundle.id()), SOON).success();
        let id = bundle.id();
        self.log(&format!(
            r#"{{"id":"{id}","type":"start-container","timestamp":"2017-08-01T12:00:00.5+02:00"}}"#
        ));
        init
    }

    /// One process's folder with the files of 0.2.9 and no others, and a shim that works in it.
    fn start(&mut self, bundle: &Bundle, id: &str, mut process: Value, stdio: &StdioFifos) -> Process {
        let folder = self.state_dir.join(bundle.id()).join(id);
        fs::create_dir(&folder).unwrap();
        let record = json!({
            "exec": id != "init", "containerdStdin": stdio.stdin.text(), "containerdStdout": stdio.stdout.text(),
            "containerdStderr": stdio.stderr.text(), "runtimeArgs": self.runc.args, "noPivotRoot": false,
            "checkpoint": "", "rootUID": 0, "rootGID": 0,
        });
        process.as_object_mut().unwrap().extend(record.as_object().unwrap().clone());
        fs::write(folder.join("process.json"), process.to_string()).unwrap();
        for fifo in ["exit", "control"] {
            let _ = Fifo::create(folder.join(fifo));
        }
        // Held while the shim starts, and closed as if the daemon had been killed then.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let _exit = File::options().read(true).custom_flags(flags).open(folder.join("exit")).unwrap();
        let mut shim = Command::new(&self.shim);
        shim.arg(bundle.id()).arg(bundle.path()).arg(&self.runc.program).current_dir(&folder);
        shim.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.shims.push(shim.spawn().unwrap());
        let pid = wait_for("the pid of the old process", SOON, || read_pid(&folder));
        let process = Process::of(pid).unwrap();
        fs::write(folder.join("starttime"), process.start_time.to_string()).unwrap();
        process
    }
}

impl Drop for OldDaemon {
    fn drop(&mut self) {
        for shim in &mut self.shims {
            let _ = shim.kill();
            let _ = shim.wait();
        }
    }
}

fn read_pid(folder: &Path) -> Option<i32> {
    fs::read_to_string(folder.join("pid")).ok()?.parse().ok()
}

/// The process object of an exec as 0.2.9 writes it.
fn exec(script: &str) -> Value {
    json!({
        "user": { "uid": 0, "gid": 0 }, "args": ["sh", "-c", script], "env": ["PATH=/bin"], "cwd": "/",
        "capabilities": {},
    })
}

#[test]
fn a_state_dir_of_0_2_9_with_living_containers_is_adopted() {
    let mut old = OldDaemon::new();
    let scratch = Arc::clone(&old.scratch);
    // From an empty state dir.
    let leaks = Leaks::snapshot(&scratch);
    let shim = old.shim.to_str().unwrap().to_owned();
    let bundle = |script: &str| Bundle::busybox_in(&scratch).shell(script).build();
    let fifos = |bundle: &Bundle, process: &str| StdioFifos::create(&bundle.path().join("io"), process);

    let lives = bundle("while read line; do echo got $line; done; exit 7");
    let stdio = fifos(&lives, "init");
    let output = stdio.stdout.lines();
    let init = old.create(&lives, &stdio, &shim);
    let old_exec = old.start(
        &lives,
        "e1",
        exec("trap 'exit 5' TERM; while :; do sleep 0.05; done"),
        &fifos(&lives, "e1"),
    );
    let (event, id) = ("start-process", lives.id());
    old.log(&format!(
        r#"{{"id":"{id}","type":"{event}","timestamp":"2017-08-01T12:00:01+02:00","pid":"e1"}}"#
    ));
    // One ends while no daemon is there, and one loses its shim.
    let ended = bundle("exit 6");
    old.create(&ended, &fifos(&ended, "init"), &shim);
    let orphan = bundle("sleep 1000");
    let orphaned = old.create(&orphan, &fifos(&orphan, "init"), &shim);
    let orphans_shim = Process::of(orphaned.parent().unwrap()).unwrap();
    orphans_shim.signal(Signal::KILL);
    // Reaped, as their own daemon would have.
    for shim in &mut old.shims[2..] {
        shim.wait().unwrap();
    }

    let mut daemon = Daemon::start_in(&scratch, DaemonOptions::new(Runtime::BuiltIn));
    let api = Api::connect(&daemon);
    let mut events = api.events_from_the_start();
    assert_eq!(events.exit_of(ended.id(), "init"), 6);
    let mut events = api.events_from_the_start();
    assert_eq!(events.exit_of(orphan.id(), "init"), KILLED);
    assert!(!orphaned.is_alive());

    let found = api.state(lives.id()).unwrap().remove(0);
    assert_eq!((&*found.status, &*found.runtime), ("running", "runc"));
    assert_eq!(
        (&found.bundle_path, &found.labels[..]),
        (&lives.path().to_str().unwrap().to_owned(), &["old=yes".to_owned()][..])
    );
    let pids: Vec<(String, u32)> = found.processes.iter().map(|p| (p.pid.clone(), p.system_pid)).collect();
    let expected = [("e1", &old_exec), ("init", &init)].map(|(id, p)| (id.to_owned(), p.pid.cast_unsigned()));
    assert_eq!(pids, expected);
    assert!(found.pids.contains(&init.pid.cast_unsigned()));

    // Its streams, an old exec, and a new one beside them.
    stdio.stdin.write("a line\n");
    assert_eq!(output.next(SOON).as_deref(), Some("got a line"));
    let mut events = api.events();
    api.signal(lives.id(), "e1", 15).unwrap();
    assert_eq!(events.exit_of(lives.id(), "e1"), 5);
    let new = fifos(&lives, "e2");
    let text = new.stdout.collect();
    let request = exec_request(lives.id(), "e2", &["sh", "-c", "echo new; exit 3"]);
    api.add_process(AddProcessRequest {
        stdin: new.stdin.text(),
        stdout: new.stdout.text(),
        stderr: new.stderr.text(),
        ..request
    })
    .unwrap();
    assert_eq!(events.exit_of(lives.id(), "e2"), 3);
    assert_eq!(text.finish(SOON), "new\n");
    api.set_paused(lives.id(), true).unwrap();
    api.set_paused(lives.id(), false).unwrap();

    // Adopted once, it goes through Gantry's own restarts as well.
    daemon.kill_hard();
    daemon.restart();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let (id, pid) = (lives.id().to_owned(), "init".to_owned());
    api.update_process(UpdateProcessRequest { id, pid, close_stdin: true, width: 0, height: 0 }).unwrap();
    assert_eq!(events.exit_of(lives.id(), "init"), 7);
    assert_eq!(output.next(SOON), None);
    daemon.kill_hard();
    daemon.restart();
    let log = Api::connect(&daemon).stored_events(None);
    assert_starts_and_exits_match(&log);
    assert_eq!(log.iter().filter(|event| event.r#type == "exit").count(), 5, "{}", shown(&log));
    fs::remove_file(daemon.state_dir().join("gantryd.lock")).unwrap();
    leaks.assert_clean();
}

#[test]
fn an_old_container_whose_shim_was_uninstalled_can_be_worked_with() {
    let mut old = OldDaemon::new();
    let scratch = Arc::clone(&old.scratch);
    let bundle = Bundle::busybox_in(&scratch).args(["sleep", "1000"]).build();
    let stdio = StdioFifos::create(&bundle.path().join("io"), "init");
    old.create(&bundle, &stdio, "containerd-shim-that-was-uninstalled");
    let daemon = Daemon::start_in(&scratch, DaemonOptions::new(Runtime::BuiltIn));
    let api = Api::connect(&daemon);
    let mut events = api.events();
    api.add_process(exec_request(bundle.id(), "e1", &["sh", "-c", "exit 3"])).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "e1"), 3);
    api.signal(bundle.id(), "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), KILLED);
}

/// The way back: what 0.2.9 needs to find is there, in the form in which it reads it.
#[test]
fn what_0_2_9_reads_is_written() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::Runc));
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let pid = api.create(create_request(&bundle)).unwrap().processes[0].system_pid;
    let process = Process::of(pid.cast_signed()).unwrap();
    let folder = daemon.state_dir().join(bundle.id());
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(text("init/pid"), pid.to_string());
    assert_eq!(text("init/starttime"), process.start_time.to_string());
    let state: Value = serde_json::from_str(&text("state.json")).unwrap();
    let record: Value = serde_json::from_str(&text("init/process.json")).unwrap();
    for key in
        ["bundle", "labels", "stdin", "stdout", "stderr", "runtime", "runtimeArgs", "shim", "noPivotRoot"]
    {
        assert!(!state[key].is_null(), "{key}: {state}");
    }
    let keys = [
        "exec",
        "containerdStdin",
        "containerdStdout",
        "containerdStderr",
        "runtimeArgs",
        "noPivotRoot",
        "checkpoint",
        "rootUID",
        "rootGID",
        "user",
        "args",
        "env",
        "cwd",
        "capabilities",
    ];
    for key in keys {
        assert!(!record[key].is_null(), "{key}: {record}");
    }
    let exit = folder.join("init/exit");
    assert!(std::os::unix::fs::FileTypeExt::is_fifo(&fs::metadata(exit).unwrap().file_type()));
    // An exit that 0.2.9 would find: its shim writes plain digits.
    assert!(!folder.join("init/exitStatus").exists());
}

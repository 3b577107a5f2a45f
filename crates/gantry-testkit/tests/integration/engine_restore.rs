//! What the next daemon makes of what happened while none was there: ends, reused pids, killed shims, damaged records.

use crate::support::{
    Api, KILLED, SIGKILL, SOON, UNKNOWN, assert_starts_and_exits_match, each_runtime, exec_request,
    host_process, shim_of,
};
use gantry_api::types::AddProcessRequest;
use gantry_testkit::{Daemon, DaemonOptions, Leaks, Process, Runtime, StdioFifos, finish, wait_until};
use rustix::process::Signal;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

each_runtime!(
    ends_in_the_daemons_absence_are_told_with_their_status_the_execs_first,
    a_shim_that_was_killed_meanwhile,
    a_shim_that_was_killed_beside_a_paused_container,
);

fn exit(container: &str, process: &str, status: u32) -> (String, String, String, u32) {
    ("exit".to_owned(), container.to_owned(), process.to_owned(), status)
}

fn ends_in_the_daemons_absence_are_told_with_their_status_the_execs_first(runtime: Runtime) {
    let mut daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().shell("read line; exit 9").build();
    let io = bundle.path().join("io");
    let (stdio, exec_stdio) = (StdioFifos::create(&io, "init"), StdioFifos::create(&io, "e1"));
    let api = Api::connect(&daemon);
    let init = host_process(api.create_with(&bundle, &stdio).unwrap().processes[0].system_pid);
    let request = exec_request(bundle.id(), "e1", &["sh", "-c", "read line; exit 7"]);
    let stdin = exec_stdio.stdin.text();
    let exec = host_process(api.add_process(AddProcessRequest { stdin, ..request }).unwrap());

    daemon.kill_hard();
    // Init first: its exit is still told last.
    exec_stdio.stdin.write("go\n");
    assert!(exec.ends_within(SOON));
    stdio.stdin.write("go\n");
    assert!(init.ends_within(SOON));
    daemon.restart();
    let api = Api::connect(&daemon);
    let told = api.events_from_the_start().up_to_exit_of(bundle.id(), "init");
    assert_eq!(told[2..], [exit(bundle.id(), "e1", 7), exit(bundle.id(), "init", 9)]);
    assert_eq!(api.ended(bundle.id()).unwrap().status, 9);
    leaks.assert_clean();
}

fn a_shim_that_was_killed_meanwhile(runtime: Runtime) {
    let mut daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let api = Api::connect(&daemon);
    let init = api.run(&bundle);
    let exec = host_process(api.add_process(exec_request(bundle.id(), "e1", &["sleep", "1000"])).unwrap());

    // The exec's shim alone: the container goes on.
    daemon.kill_hard();
    shim_of(&exec).signal(Signal::KILL);
    daemon.restart();
    let api = Api::connect(&daemon);
    assert_eq!(api.events_from_the_start().exit_of(bundle.id(), "e1"), KILLED);
    assert!(init.is_alive() && !exec.is_alive());

    daemon.kill_hard();
    shim_of(&init).signal(Signal::KILL);
    daemon.restart();
    let api = Api::connect(&daemon);
    assert_eq!(api.events_from_the_start().exit_of(bundle.id(), "init"), KILLED);
    assert!(!init.is_alive());
    assert_starts_and_exits_match(&api.stored_events(None));
    leaks.assert_clean();
}

fn a_shim_that_was_killed_beside_a_paused_container(runtime: Runtime) {
    let mut daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let api = Api::connect(&daemon);
    let init = api.run(&bundle);
    api.set_paused(bundle.id(), true).unwrap();
    daemon.kill_hard();
    shim_of(&init).signal(Signal::KILL);
    daemon.restart();
    let api = Api::connect(&daemon);
    assert_eq!(api.events_from_the_start().exit_of(bundle.id(), "init"), KILLED);
    assert!(!init.is_alive());
    leaks.assert_clean();
}

/// A process that is nobody's business but the test's.
struct Innocent(std::process::Child);

impl Innocent {
    fn start() -> Self {
        Self(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Innocent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_reused_pid_is_not_signalled() {
    let mut daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let leaks = Leaks::snapshot(daemon.scratch());
    let api = Api::connect(&daemon);
    let bundles = ["reused", "reused without a start time", "gone"]
        .map(|_| daemon.bundle().args(["sleep", "1000"]).build());
    let inits = bundles.each_ref().map(|bundle| api.run(bundle));
    daemon.kill_hard();
    for init in &inits {
        // The shim first, so that nobody writes down how its process ends.
        let shim = shim_of(init);
        shim.signal(Signal::KILL);
        assert!(shim.ends_within(SOON));
        init.signal(Signal::KILL);
        assert!(init.ends_within(SOON));
        // Until whoever adopted it has reaped it, its pid is still its own, and the kernel knows how it ended.
        wait_until("the process is reaped", SOON, || init.parent().is_none());
    }
    let mut innocents = [Innocent::start(), Innocent::start()];
    for (innocent, bundle) in innocents.iter().zip(&bundles) {
        let folder = daemon.state_dir().join(bundle.id()).join("init");
        fs::write(folder.join("pid"), innocent.pid()).unwrap();
    }
    fs::remove_file(daemon.state_dir().join(bundles[1].id()).join("init/starttime")).unwrap();

    daemon.restart();
    let api = Api::connect(&daemon);
    for bundle in &bundles {
        let status = api.events_from_the_start().exit_of(bundle.id(), "init");
        assert_eq!(status, UNKNOWN, "nobody can know how it ended");
        assert!(api.signal(bundle.id(), "init", SIGKILL).is_err());
    }
    assert_starts_and_exits_match(&api.stored_events(None));
    leaks.assert_clean();
    for innocent in &mut innocents {
        assert!(innocent.0.try_wait().unwrap().is_none(), "an innocent process has been killed");
    }
}

/// What is to be found of a container whose folder was damaged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Nothing that could be asked for.
    Nothing,
    /// Its folder, aside.
    Aside,
    /// The container, and its exec's folder aside.
    AsideOfExec,
    /// Container and exec.
    All,
}

type Damage = (&'static str, fn(PathBuf), Left);

/// The folders of the container, its init and its exec `e1` are there; the daemon is not.
const DAMAGES: [Damage; 12] = [
    ("an empty folder", |folder| empty(&folder), Left::Nothing),
    ("no state.json", |folder| remove(&folder.join("state.json")), Left::Aside),
    ("an empty state.json", |folder| write(&folder.join("state.json"), b""), Left::Aside),
    ("a truncated state.json", |folder| truncate(&folder.join("state.json")), Left::Aside),
    ("a state.json of NUL bytes", |folder| write(&folder.join("state.json"), &[0; 64]), Left::Aside),
    ("a process.json of init that is cut", |folder| truncate(&folder.join("init/process.json")), Left::Aside),
    // Who it is has been told when it started, and the start time agrees: a number that is lost is no reason to end it.
    ("a pid of init that is none", |folder| write(&folder.join("init/pid"), b"-1"), Left::All),
    (
        "a process.json of the exec that is cut",
        |folder| truncate(&folder.join("e1/process.json")),
        Left::AsideOfExec,
    ),
    ("a pid of the exec that is none", |folder| write(&folder.join("e1/pid"), b"x"), Left::All),
    // Its start was told, so that it has an end, and that is told too.
    ("an exec's folder without anything", |folder| empty(&folder.join("e1")), Left::AsideOfExec),
    ("no folder of init", |folder| fs::remove_dir_all(folder.join("init")).unwrap(), Left::Nothing),
    ("torn temporary files", |folder| write(&folder.join(".tmp-1"), b"{\"bu"), Left::All),
];

fn empty(folder: &PathBuf) {
    fs::remove_dir_all(folder).unwrap();
    fs::create_dir(folder).unwrap();
}

fn remove(file: &PathBuf) {
    fs::remove_file(file).unwrap();
}

fn write(file: &PathBuf, content: &[u8]) {
    fs::write(file, content).unwrap();
}

fn truncate(file: &PathBuf) {
    let content = fs::read(file).unwrap();
    fs::write(file, &content[..content.len() / 2]).unwrap();
}

#[test]
fn damaged_folders_are_set_aside_and_harm_no_neighbour() {
    let mut daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let leaks = Leaks::snapshot(daemon.scratch());
    let api = Api::connect(&daemon);
    let run = |api: &Api| {
        let bundle = daemon.bundle().args(["sleep", "1000"]).build();
        let init = api.run(&bundle);
        let exec = exec_request(bundle.id(), "e1", &["sleep", "1000"]);
        let exec = host_process(api.add_process(exec).unwrap());
        (bundle, init, exec)
    };
    let first = run(&api);
    let victims = DAMAGES.map(|damage| (damage, run(&api)));
    let last = run(&api);
    daemon.kill_hard();
    for ((_, damage, _), (bundle, ..)) in &victims {
        damage(daemon.state_dir().join(bundle.id()));
    }
    daemon.restart();

    let api = Api::connect(&daemon);
    let log = daemon.log();
    let mut aside = 0;
    for ((what, _, left), (bundle, init, exec)) in &victims {
        let folder = daemon.state_dir().join(bundle.id());
        let named = |folder: PathBuf| {
            let line = log
                .lines()
                .find(|line| line.contains("is set aside") && line.contains(&*folder.to_string_lossy()));
            assert!(line.is_some(), "{what}: nothing in the log about {}", folder.display());
        };
        match left {
            Left::Nothing | Left::Aside => {
                assert_eq!(api.find(bundle.id()), None, "{what}");
                assert!(!folder.exists(), "{what}");
                assert!(init.ends_within(SOON) && exec.ends_within(SOON), "{what}: nobody could manage them");
            }
            Left::AsideOfExec | Left::All => {
                assert_eq!(api.find(bundle.id()).unwrap().0, "running", "{what}");
                assert!(init.is_alive(), "{what}");
            }
        }
        match left {
            Left::Aside => named(folder),
            Left::AsideOfExec => named(folder.join("e1")),
            Left::Nothing | Left::All => continue,
        }
        aside += 1;
    }
    let set_aside = daemon.state_dir().join("@set-aside");
    assert_eq!(fs::read_dir(&set_aside).unwrap().count(), aside);
    for (bundle, init, exec) in [&first, &last] {
        unharmed(&api, bundle.id(), init, exec);
    }

    // Each id again; what is set aside is for a person to look at and remove.
    let mut events = api.events();
    for (_, (bundle, ..)) in &victims {
        if api.find(bundle.id()).is_none() {
            api.run(bundle);
        }
        api.signal(bundle.id(), "init", SIGKILL).unwrap();
        assert_eq!(events.exit_of(bundle.id(), "init"), KILLED);
    }
    for (bundle, ..) in [&first, &last] {
        api.signal(bundle.id(), "init", SIGKILL).unwrap();
        assert_eq!(events.exit_of(bundle.id(), "init"), KILLED);
    }
    fs::remove_dir_all(set_aside).unwrap();
    leaks.assert_clean();
}

fn unharmed(api: &Api, id: &str, init: &Process, exec: &Process) {
    assert_eq!(api.find(id), Some(("running".to_owned(), vec!["e1".to_owned(), "init".to_owned()])));
    assert!(init.is_alive() && exec.is_alive());
    let mut events = api.events();
    api.add_process(exec_request(id, "e2", &["sh", "-c", "exit 5"])).unwrap();
    assert_eq!(events.exit_of(id, "e2"), 5);
}

#[test]
fn a_second_daemon_on_the_state_dir_is_refused() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let api = Api::connect(&daemon);
    let init = api.run(&bundle);
    let mut second = Command::new(daemon.binaries().gantryd());
    second.arg("--listen").arg(format!("unix://{}", daemon.scratch().path().join("second.sock").display()));
    second.arg("--state-dir").arg(daemon.state_dir());
    let done = finish(&mut second, SOON);
    assert_ne!(done.code(), 0, "{done}");
    let pid = format!("(pid {})", daemon.pid());
    assert!(done.stderr.contains(daemon.state_dir().to_str().unwrap()), "{done}");
    assert!(done.stderr.contains(&pid), "it says who is there: {done}");
    assert!(init.is_alive());
    assert_eq!(api.find(bundle.id()).unwrap().0, "running");
}

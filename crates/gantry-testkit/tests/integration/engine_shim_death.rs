//! A shim is killed beside its process: by default the process is killed too, with `--on-shim-death=adopt` it lives on
//! as if nothing had been.

use crate::support::{
    Api, KILLED, SIGKILL, SOON, UNKNOWN, assert_starts_and_exits_match, create_request, each_runtime,
    exec_request, host_process, shim_of, tells_status_of_orphans,
};
use gantry_api::types::{AddProcessRequest, CreateContainerRequest, UpdateProcessRequest};
use gantry_testkit::{
    Bundle, Daemon, DaemonOptions, Leaks, Lines, Process, Runtime, StdioFifos, wait_for, wait_until,
};
use rustix::process::Signal;
use std::fs;
use std::time::Duration;

each_runtime!(
    killed_with_its_shim,
    killed_beside_an_exec_of_a_paused_container,
    adopted_with_its_streams,
    adopted_with_its_terminal,
    an_adopted_exec_and_its_container,
    adopted_with_its_log,
    an_end_that_its_shim_did_not_live_to_tidy_up,
);

fn adopting(runtime: Runtime) -> DaemonOptions {
    DaemonOptions::new(runtime).arg("--on-shim-death=adopt")
}

/// The daemon becomes the parent of what a dead shim has left, whatever process 1 is.
fn assert_is_parent(daemon: &Daemon, process: &Process) {
    assert_eq!(process.parent(), Some(i32::try_from(daemon.pid()).unwrap()));
}

/// Nothing that it took in stays a zombie.
fn assert_reaps(daemon: &Daemon) {
    let pid = daemon.pid();
    let zombies = || -> Vec<i32> {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        let children: Vec<i32> = lists
            .flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect();
        children.into_iter().filter(|child| Process::of(*child).is_none()).collect()
    };
    wait_until("no zombie below the daemon", SOON, || zombies().is_empty());
}

/// The status of a process that lost its shim and the daemon of that time, which would be its parent, if anybody can tell.
fn status_if_told(status: u32) -> u32 {
    if tells_status_of_orphans() {
        return status;
    }
    println!("before Linux 6.15 the status of a process that is no child is not told: expecting {UNKNOWN}");
    UNKNOWN
}

/// Kills a shim and waits for its successor, which stands in the same folder.
fn replace_shim(daemon: &Daemon, shim: &Process) -> Process {
    let folder = fs::read_link(format!("/proc/{}/cwd", shim.pid)).unwrap();
    shim.signal(Signal::KILL);
    wait_for("a new shim in the place of the killed one", SOON, || {
        daemon.scratch().processes().into_iter().find(|process| {
            process.pid != shim.pid
                && process.command.contains("gantry-shim --adopt")
                && fs::read_link(format!("/proc/{}/cwd", process.pid)).is_ok_and(|cwd| cwd == folder)
        })
    })
}

fn killed_with_its_shim(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let exec = || host_process(api.add_process(exec_request(bundle.id(), "e1", &["sleep", "1000"])).unwrap());
    for paused in [false, true] {
        let init = api.run(&bundle);
        let first = exec();
        shim_of(&first).signal(Signal::KILL);
        assert_eq!(events.exit_of(bundle.id(), "e1"), KILLED);
        assert!(init.is_alive() && !first.is_alive());

        let second = exec();
        api.set_paused(bundle.id(), paused)
            .or_else(|error| if paused { Err(error) } else { Ok(()) })
            .unwrap();
        shim_of(&init).signal(Signal::KILL);
        let told = events.up_to_exit_of(bundle.id(), "init");
        let exits: Vec<_> = told.iter().filter(|key| key.0 == "exit").map(|key| (&*key.2, key.3)).collect();
        assert_eq!(exits, [("e1", KILLED), ("init", KILLED)]);
        assert!(!init.is_alive() && !second.is_alive());
        leaks.assert_clean();
    }
}

/// A frozen process cannot die (cgroup v1), and nobody but a client thaws a container for it.
fn killed_beside_an_exec_of_a_paused_container(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let init = api.run(&bundle);
    let exec = host_process(api.add_process(exec_request(bundle.id(), "e1", &["sleep", "1000"])).unwrap());
    api.set_paused(bundle.id(), true).unwrap();
    shim_of(&exec).signal(Signal::KILL);
    let shown = format!("pid={} ", exec.pid);
    wait_until("a word in the log", SOON, || {
        daemon.log().contains("the shim ended") && daemon.log().contains(&shown)
    });
    // Longer than it takes to notice that SIGKILL has no effect.
    assert!(!exec.ends_within(Duration::from_secs(2)) || is_v2());
    assert_eq!(api.find(bundle.id()).unwrap().0, "paused");
    assert!(api.set_paused(bundle.id(), false).is_ok(), "it was paused all the time");
    assert_eq!(events.exit_of(bundle.id(), "e1"), KILLED);
    assert!(init.is_alive());
    api.signal(bundle.id(), "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), KILLED);
    leaks.assert_clean();
}

/// With cgroup v2 a frozen process takes SIGKILL.
fn is_v2() -> bool {
    fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_ok()
}

/// Lines `n 1`, `n 2` and so on in between others.
struct Numbers {
    lines: Lines,
    last: u32,
}

impl Numbers {
    /// The next line that is none of the numbers; these are all there.
    fn next_other(&mut self) -> Option<String> {
        loop {
            let line = self.lines.next(SOON)?;
            let Some(number) = line.strip_prefix("n ") else { return Some(line) };
            assert_eq!(number.parse(), Ok(self.last + 1), "a gap in the output");
            self.last += 1;
        }
    }

    /// Reads a good number of numbers.
    fn go_on(&mut self) {
        for _ in 0..20 {
            let line = self.lines.next(SOON).unwrap();
            assert_eq!(line, format!("n {}", self.last + 1), "a gap in the output");
            self.last += 1;
        }
    }
}

fn adopted_with_its_streams(runtime: Runtime) {
    let mut daemon = Daemon::start(adopting(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let script = "(n=0; while :; do n=$((n + 1)); echo n $n; sleep 0.005; done) & \
                  while read line; do echo got $line; done; kill $!; exit 42";
    let bundle = daemon.bundle().shell(script).build();
    let id = bundle.id();
    let stdio = StdioFifos::create(&bundle.path().join("io"), "init");
    let mut output = Numbers { lines: stdio.stdout.lines(), last: 0 };
    let api = Api::connect(&daemon);
    let init = host_process(api.create_with(&bundle, &stdio).unwrap().processes[0].system_pid);
    output.go_on();

    // More than once, the successor's as well as the first one's.
    let mut shim = shim_of(&init);
    for round in ["one", "two", "three"] {
        shim = replace_shim(&daemon, &shim);
        output.go_on();
        stdio.stdin.write(&format!("{round}\n"));
        assert_eq!(output.next_other(), Some(format!("got {round}")));
        let mut events = api.events();
        api.add_process(exec_request(id, round, &["sh", "-c", "exit 5"])).unwrap();
        assert_eq!(events.exit_of(id, round), 5);
    }
    daemon.kill_hard();
    daemon.restart();
    let api = Api::connect(&daemon);
    assert_eq!(api.find(id).unwrap().0, "running");
    replace_shim(&daemon, &shim);
    output.go_on();
    stdio.stdin.write("four\n");
    assert_eq!(output.next_other().as_deref(), Some("got four"));

    let mut events = api.events();
    let (id, pid) = (id.to_owned(), "init".to_owned());
    api.update_process(UpdateProcessRequest { id, pid, close_stdin: true, width: 0, height: 0 }).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), status_if_told(42));
    assert_eq!(output.next_other(), None, "the output ends with the container");
    assert_starts_and_exits_match(&api.stored_events(None));
    leaks.assert_clean();
}

fn adopted_with_its_terminal(runtime: Runtime) {
    let daemon = Daemon::start(adopting(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let script = "stty -echo; trap 'stty size' WINCH; echo ready; \
                  while :; do read line && { echo got $line; test $line = end && exit 42; }; done";
    let bundle = daemon.bundle().shell(script).terminal(true).build();
    let stdio = StdioFifos::create(&bundle.path().join("io"), "init");
    let output = stdio.stdout.lines();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let init = host_process(api.create_with(&bundle, &stdio).unwrap().processes[0].system_pid);
    assert_eq!(output.next(SOON).as_deref(), Some("ready"));
    let mut shim = shim_of(&init);
    for (round, width) in [("one", 101), ("two", 102)] {
        shim = replace_shim(&daemon, &shim);
        assert!(init.is_alive(), "its terminal must not hang up");
        stdio.stdin.write(&format!("{round}\n"));
        assert_eq!(output.next(SOON), Some(format!("got {round}")));
        let (id, pid) = (bundle.id().to_owned(), "init".to_owned());
        let resize = UpdateProcessRequest { id, pid, close_stdin: false, width, height: 33 };
        api.update_process(resize).unwrap();
        assert_eq!(output.next(SOON), Some(format!("33 {width}")));
    }
    stdio.stdin.write("end\n");
    assert_eq!(output.next(SOON).as_deref(), Some("got end"));
    assert_eq!(events.exit_of(bundle.id(), "init"), 42);
    assert_eq!(output.next(SOON), None);
    leaks.assert_clean();
}

fn an_adopted_exec_and_its_container(runtime: Runtime) {
    let daemon = Daemon::start(adopting(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle: Bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let init = api.run(&bundle);
    let stdio = StdioFifos::create(&bundle.path().join("io"), "e1");
    let request = exec_request(bundle.id(), "e1", &["sh", "-c", "read line; exit 43"]);
    let request = AddProcessRequest { stdin: stdio.stdin.text(), ..request };
    let exec = host_process(api.add_process(request).unwrap());
    // Frozen at that moment or not.
    api.set_paused(bundle.id(), true).unwrap();
    replace_shim(&daemon, &shim_of(&exec));
    replace_shim(&daemon, &shim_of(&init));
    assert_is_parent(&daemon, &exec);
    assert_is_parent(&daemon, &init);
    assert_eq!(api.find(bundle.id()).unwrap().0, "paused");
    api.set_paused(bundle.id(), false).unwrap();
    stdio.stdin.write("go\n");
    assert_eq!(events.exit_of(bundle.id(), "e1"), 43);
    api.signal(bundle.id(), "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), KILLED);
    leaks.assert_clean();
    assert_reaps(&daemon);
}

fn adopted_with_its_log(runtime: Runtime) {
    let daemon = Daemon::start(adopting(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let script =
        "n=0; while test ! -e /stop; do n=$((n + 1)); echo n $n || exit 99; done; (exit 3) & exit 42";
    let bundle = daemon.bundle().shell(script).without_namespace("pid").build();
    let log = bundle.path().join("output.log");
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let stdout = format!("gantry-log://{}", log.display());
    let request = CreateContainerRequest { stdout, ..create_request(&bundle) };
    let init = host_process(api.create(request).unwrap().processes[0].system_pid);
    let mut shim = shim_of(&init);
    for _ in 0..3 {
        shim = replace_shim(&daemon, &shim);
        let length = || fs::metadata(&log).map_or(0, |file| file.len());
        let before = length();
        wait_until("more in the log", SOON, || length() > before + 1000);
    }
    fs::write(bundle.rootfs().join("stop"), "").unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), 42);
    for (number, line) in fs::read_to_string(&log).unwrap().lines().enumerate() {
        assert!(line.ends_with(&format!(" stdout F n {}", number + 1)), "line {number} is {line:?}");
    }
    leaks.assert_clean();
    assert_reaps(&daemon);
}

/// The shim is killed between writing the status and deleting the container: its successor deletes it.
fn an_end_that_its_shim_did_not_live_to_tidy_up(runtime: Runtime) {
    let daemon = Daemon::start(adopting(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().shell("read line; exit 42").build();
    let stdio = StdioFifos::create(&bundle.path().join("io"), "init");
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let init = host_process(api.create_with(&bundle, &stdio).unwrap().processes[0].system_pid);
    let shim = shim_of(&init);
    shim.signal(Signal::STOP);
    // What it would have done itself just before.
    fs::write(daemon.state_dir().join(bundle.id()).join("init/exitStatus"), "42").unwrap();
    stdio.stdin.write("go\n");
    assert!(init.ends_within(SOON));
    shim.signal(Signal::KILL);
    assert_eq!(events.exit_of(bundle.id(), "init"), 42);
    assert!(daemon.log().contains("the shim died; a new one stands beside the process"));
    leaks.assert_clean();
}

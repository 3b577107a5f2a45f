//! Every rpc, field and error of containerd 0.2's wire, from a client in another language; docs/compatibility.md says
//! which test has which (`compatibility.rs` holds it to that).

use crate::support::{Api, KILLED, Python, SIGKILL, SOON, each_runtime};
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Fifo, Leaks, Runtime, Scratch, finish, wait_until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

each_runtime!(lifecycle, create_container, add_process, signals_and_terminals, update_container);

/// Dozens of containers, on a machine that has other things to do.
const TIMEOUT: Duration = Duration::from_secs(180);

/// What the modules run with.
struct Subject {
    daemon: Daemon,
    leaks: Leaks,
    /// The daemon's runtime, as requests may name it.
    program: String,
    args: Vec<String>,
}

impl Subject {
    fn start(runtime: Runtime) -> Self {
        Self::in_scratch(&Scratch::new(), runtime, |options| options)
    }

    fn in_scratch(
        scratch: &Arc<Scratch>,
        runtime: Runtime,
        change: impl FnOnce(DaemonOptions) -> DaemonOptions,
    ) -> Self {
        let daemon = Daemon::start_in(scratch, change(DaemonOptions::new(runtime)));
        let command = runtime.command(scratch);
        Self { leaks: Leaks::snapshot(scratch), daemon, program: command.program, args: command.args }
    }

    /// Where a module makes what it needs.
    fn work(&self) -> PathBuf {
        let work = self.daemon.scratch().path().join("work");
        fs::create_dir_all(&work).unwrap();
        work
    }

    /// Runs a module of `tests/python/conformance`.
    fn passes(&self, module: &str) {
        self.runs(module);
        self.leaks.assert_clean();
    }

    fn runs(&self, module: &str) {
        let scratch = self.daemon.scratch();
        let bundle = Bundle::busybox_in(scratch).build();
        let work = self.work();
        let mut run = Python::with_stubs(scratch).script("conformance/run.py");
        run.arg(module).arg("--address").arg(self.daemon.address());
        run.arg("--bundle").arg(bundle.path()).arg("--work").arg(&work);
        run.arg("--runtime").arg(&self.program);
        run.args(self.args.iter().map(|arg| format!("--runtime-arg={arg}")));
        let done = finish(&mut run, TIMEOUT);
        assert!(done.success().ends_with("ok\n"), "{done}");
    }
}

fn lifecycle(runtime: Runtime) {
    Subject::start(runtime).passes("lifecycle");
}

fn create_container(runtime: Runtime) {
    Subject::start(runtime).passes("create_container");
}

fn add_process(runtime: Runtime) {
    Subject::start(runtime).passes("add_process");
}

fn signals_and_terminals(runtime: Runtime) {
    Subject::start(runtime).passes("signals_and_terminals");
}

fn update_container(runtime: Runtime) {
    Subject::start(runtime).passes("update_container");
}

#[test]
fn version_and_health() {
    Subject::start(Runtime::BuiltIn).passes("version_and_health");
}

#[test]
fn state() {
    Subject::start(Runtime::BuiltIn).passes("state");
}

#[test]
fn events() {
    Subject::start(Runtime::BuiltIn).passes("events");
}

#[test]
fn stats() {
    Subject::start(Runtime::BuiltIn).passes("stats");
}

#[test]
fn start_limits() {
    let limit = Duration::from_secs(1);
    Subject::in_scratch(&Scratch::new(), Runtime::BuiltIn, |options| options.start_timeout(limit))
        .passes("start_limits");
}

#[test]
fn missing_shim() {
    Subject::in_scratch(&Scratch::new(), Runtime::BuiltIn, |options| options.shim("no-such-shim"))
        .passes("missing_shim");
}

#[test]
fn silent_shim() {
    Subject::in_scratch(&Scratch::new(), Runtime::BuiltIn, |options| options.shim("/bin/true"))
        .passes("silent_shim");
}

#[test]
fn restoring() {
    let scratch = Scratch::new();
    let program = scratch.path().join("runtime-that-waits");
    let real = Runtime::BuiltIn.command(&scratch).program;
    let go = scratch.path().join("work/go");
    let script = format!(
        "#!/bin/sh\n[ -p {go} ] && case \" $* \" in *' delete '*) read line <{go} ;; esac\nexec {real} \"$@\"\n",
        go = go.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let program = program.to_str().unwrap();
    let mut subject =
        Subject::in_scratch(&scratch, Runtime::BuiltIn, |options| options.runtime_program(program));
    let api = Api::connect(&subject.daemon);
    let bundles = [(); 2].map(|()| subject.daemon.bundle().args(["sleep", "1000"]).build());
    bundles.iter().for_each(|bundle| drop(api.run(bundle)));
    subject.daemon.kill_hard();
    subject.work();
    let _go = Fifo::create(&go);
    fs::write(subject.daemon.state_dir().join(bundles[0].id()).join("state.json"), "{").unwrap();
    subject.daemon.restart_without_waiting();
    wait_until("the socket", SOON, || UnixStream::connect(subject.daemon.socket()).is_ok());
    subject.runs("restoring");
    fs::remove_file(&go).unwrap();
    let api = Api::connect(&subject.daemon);
    assert_eq!(api.find(bundles[0].id()), None);
    let mut events = api.events();
    api.signal(bundles[1].id(), "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(bundles[1].id(), "init"), KILLED);
    // What is set aside stays, for whoever wants to look.
    fs::remove_dir_all(subject.daemon.state_dir().join("@set-aside")).unwrap();
    subject.leaks.assert_clean();
}

#[test]
fn checkpoints() {
    let scratch = Scratch::new();
    let program = scratch.path().join("runc");
    fs::write(&program, include_str!("support/runc-with-checkpoints.sh")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let program = program.to_str().unwrap();
    let mut subject =
        Subject::in_scratch(&scratch, Runtime::Runc, |options| options.runtime_program(program));
    program.clone_into(&mut subject.program);
    subject.passes("checkpoints");
}

//! Containers that start, do something and end.

use super::{Suite, key, milliseconds_between};
use crate::support::{SOON, create_request, each_runtime, shim_of};
use gantry_testkit::{Runtime, StdioFifos};
use rustix::process::Signal;
use serde_json::json;

each_runtime!(
    start_busybox_ls_slash,
    start_busybox_no_such_file,
    start_busybox_top_kill_and_sigterm,
    start_busybox_trap_usr1,
    start_busybox_top_pause_resume,
    oom,
    sigkill_shim_reuse_name,
    sigkill_shim_while_container_is_paused,
);

/// What is in the root of a test's bundle.
const SLASH: &str = "bin\ndev\netc\nproc\nroot\nrun\nsys\ntmp\nusr\nvar\n";

fn start_busybox_ls_slash(runtime: Runtime) {
    let mut suite = Suite::start(runtime);
    let bundle = suite.daemon.bundle().args(["ls", "/"]).build();
    let output = suite.create(&bundle);
    assert_eq!(suite.events.exit_of(bundle.id(), "init"), 0);
    assert_eq!(output.read(), SLASH);

    let stdio = StdioFifos::create(&bundle.path().join("io"), "init");
    let collector = stdio.stdout.collect();
    suite.api.create_with(&bundle, &stdio).unwrap();
    assert_eq!(suite.events.exit_of(bundle.id(), "init"), 0);
    assert_eq!(collector.finish(SOON), SLASH);
    suite.assert_empty();
}

fn start_busybox_no_such_file(runtime: Runtime) {
    let mut suite = Suite::start(runtime);
    let mut bundle = suite.daemon.bundle().args(["NoSuchFile"]).build();
    let error = suite.api.create(create_request(&bundle)).unwrap_err();
    assert_eq!(error.code(), tonic::Code::Unknown, "{error:?}");
    let text = error.message();
    assert!(text.starts_with("oci runtime error: "), "{error:?}");
    if runtime != Runtime::Crun {
        // In 2017 the quotes had backslashes, which no runtime of today prints.
        assert!(text.contains("exec: \"NoSuchFile\": executable file not found in $PATH"), "{error:?}");
    }
    // By which dockerd knows that it is status 127.
    let lower = text.to_lowercase();
    let known = ["executable file not found", "no such file or directory"];
    assert!(lower.contains("nosuchfile") && known.iter().any(|known| lower.contains(known)), "{error:?}");

    // No exit is told, and the id is free at once.
    bundle.rewrite(|config| config["process"]["args"] = json!(["true"]));
    suite.create(&bundle);
    suite.expect(&bundle, &[("start-container", "", 0), ("exit", "init", 0)]);
    suite.assert_empty();
}

#[test]
fn start_busybox_top() {
    let suite = Suite::start(Runtime::BuiltIn);
    let bundle = suite.top();
    let listed = suite.api.state("").unwrap();
    assert_eq!(listed.len(), 1);
    let container = &listed[0];
    let expected = (bundle.id(), "running", bundle.path().to_str().unwrap());
    assert_eq!((&*container.id, &*container.status, &*container.bundle_path), expected);
    assert_eq!(container.pids, [container.processes[0].system_pid]);
    suite.end(&bundle);
}

#[test]
fn start_busybox_ls_events() {
    let mut suite = Suite::start(Runtime::BuiltIn);
    let bundle = suite.daemon.bundle().args(["ls"]).build();
    suite.create(&bundle);
    suite.expect(&bundle, &[("start-container", "", 0), ("exit", "init", 0)]);
    let stored = suite.api.stored_events_of(bundle.id(), suite.start);
    let stored: Vec<_> = stored.iter().map(key).collect();
    assert_eq!(stored, [("start-container", "", 0), ("exit", "init", 0)]);
    suite.assert_empty();
}

#[test]
fn start_busybox_sleep() {
    let mut suite = Suite::start(Runtime::BuiltIn);
    let bundle = suite.daemon.bundle().args(["sleep", "1"]).build();
    suite.create(&bundle);
    let (start, exit) = (suite.events.next(), suite.events.next());
    assert_eq!((key(&start), key(&exit)), (("start-container", "", 0), ("exit", "init", 0)));
    // It sleeps as soon as it is started, which may be told a little later.
    assert!(milliseconds_between(&start, &exit) > 500, "{start:?} {exit:?}");
    suite.assert_empty();
}

fn start_busybox_top_kill_and_sigterm(runtime: Runtime) {
    let mut suite = Suite::start(runtime);
    for (signal, status) in [(9, 137), (15, 143)] {
        // The first process of a PID namespace of its own would not get a SIGTERM that it does not handle.
        let bundle = suite.daemon.bundle().args(["sleep", "1000"]).without_namespace("pid").build();
        suite.create(&bundle);
        suite.api.signal(bundle.id(), "init", signal).unwrap();
        suite.expect(&bundle, &[("start-container", "", 0), ("exit", "init", status)]);
    }
    suite.assert_empty();
}

fn start_busybox_trap_usr1(runtime: Runtime) {
    let mut suite = Suite::start(runtime);
    let script = "trap 'echo booh!; exit 0' USR1; echo ready; while :; do sleep 0.02; done";
    let bundle = suite.shell(script).build();
    let output = suite.create(&bundle);
    output.wait_for("ready");
    suite.api.signal(bundle.id(), "init", 10).unwrap();
    suite.expect(&bundle, &[("start-container", "", 0), ("exit", "init", 0)]);
    assert_eq!(output.read(), "ready\nbooh!\n");
    suite.assert_empty();
}

fn start_busybox_top_pause_resume(runtime: Runtime) {
    let mut suite = Suite::start(runtime);
    let bundle = suite.top();
    suite.api.set_paused(bundle.id(), true).unwrap();
    suite.api.set_paused(bundle.id(), false).unwrap();
    suite.expect(&bundle, &[("start-container", "", 0), ("pause", "", 0), ("resume", "", 0)]);
    assert_eq!(suite.api.state(bundle.id()).unwrap()[0].status, "running");
    suite.end(&bundle);
}

fn oom(runtime: Runtime) {
    let mut suite = Suite::start(runtime);
    // Go's runc itself needs more than the 8 MiB of 2016.
    let limit = 32 << 20;
    let bundle = suite.shell("x=a; while :; do x=$x$x; done").memory_limit_bytes(limit);
    let bundle = bundle.patch(|config| config["linux"]["resources"]["memory"]["swap"] = json!(limit)).build();
    suite.create(&bundle);
    suite.expect(&bundle, &[("start-container", "", 0), ("oom", "", 0), ("exit", "init", 137)]);
    suite.assert_empty();
}

#[test]
fn events_id() {
    let mut suite = Suite::start(Runtime::BuiltIn);
    let bundles: Vec<_> = (0..10).map(|_| suite.daemon.bundle().args(["true"]).build()).collect();
    for bundle in &bundles {
        suite.create(bundle);
    }
    for _ in 0..20 {
        suite.events.next();
    }
    for bundle in &bundles {
        let stored = suite.api.stored_events_of(bundle.id(), suite.start);
        assert!(stored.iter().all(|event| event.id == bundle.id()));
        let stored: Vec<_> = stored.iter().map(key).collect();
        assert_eq!(stored, [("start-container", "", 0), ("exit", "init", 0)]);
    }
    suite.assert_empty();
}

fn sigkill_shim_reuse_name(runtime: Runtime) {
    let mut suite = Suite::start(runtime);
    let bundle = suite.daemon.bundle().args(["sleep", "1000"]).build();
    for _ in 0..3 {
        let init = suite.api.run(&bundle);
        shim_of(&init).signal(Signal::KILL);
        suite.expect(&bundle, &[("start-container", "", 0), ("exit", "init", 137)]);
        assert!(!init.is_alive());
    }
    suite.assert_empty();
}

fn sigkill_shim_while_container_is_paused(runtime: Runtime) {
    let mut suite = Suite::start(runtime);
    let bundle = suite.daemon.bundle().args(["sleep", "1000"]).build();
    let init = suite.api.run(&bundle);
    suite.api.set_paused(bundle.id(), true).unwrap();
    shim_of(&init).signal(Signal::KILL);
    suite.expect(&bundle, &[("start-container", "", 0), ("pause", "", 0)]);
    assert_eq!(suite.events.exit_of(bundle.id(), "init"), 137);
    assert!(!init.is_alive());
    suite.assert_empty();
}

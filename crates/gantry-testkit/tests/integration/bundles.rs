//! The test kit itself, on the runtimes without a daemon: its bundles run, and nothing of a scratch survives it.

use crate::support::{SOON, each_runtime};
use gantry_testkit::{Bundle, Runtime, RuntimeCommand, finish, wait_until};
use std::fs;
use std::process::{Command, Stdio};

each_runtime!(create_start_and_delete_are_separate_calls, a_scratch_ends_what_runs_in_it);

/// `create` with the streams at `/dev/null`, for otherwise init would keep the test's pipes open.
fn create(runtime: &RuntimeCommand, bundle: &Bundle) {
    let mut command = runtime.subcommand("create");
    command
        .arg("--bundle")
        .arg(bundle.path())
        .arg("--pid-file")
        .arg(bundle.path().join("pid"))
        .arg(bundle.id());
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?} ended with {status}");
}

fn run(mut command: Command, id: &str) -> String {
    finish(command.arg(id), SOON).success().to_owned()
}

fn create_start_and_delete_are_separate_calls(runtime: Runtime) {
    let bundle = Bundle::busybox().shell("echo started >/started; sleep 1000").pids_limit(20).build();
    let runtime = runtime.command(bundle.scratch());
    create(&runtime, &bundle);
    assert!(!bundle.rootfs().join("started").exists(), "create must not start");
    run(runtime.subcommand("start"), bundle.id());
    let started = bundle.rootfs().join("started");
    wait_until("the container's file", SOON, || started.exists());
    assert!(run(runtime.subcommand("state"), bundle.id()).contains("running"));
    let mut delete = runtime.subcommand("delete");
    delete.arg("--force");
    run(delete, bundle.id());
    assert_eq!(bundle.scratch().processes(), []);
}

fn a_scratch_ends_what_runs_in_it(runtime: Runtime) {
    let bundle = Bundle::busybox().args(["sleep", "1000"]).build();
    let runtime = runtime.command(bundle.scratch());
    create(&runtime, &bundle);
    run(runtime.subcommand("start"), bundle.id());
    let processes = bundle.scratch().processes();
    assert_eq!(processes.len(), 1, "{processes:?}");
    let cgroups = bundle.scratch().cgroup_folders();
    assert!(!cgroups.is_empty());
    let folder = bundle.scratch().path().to_owned();

    drop(bundle);
    assert!(!processes[0].is_alive());
    assert!(!folder.exists());
    assert!(cgroups.iter().all(|cgroup| fs::metadata(cgroup).is_err()));
}

//! `gantry run`, attached: the container's output and its exit status, with each runtime.

use crate::support::{Api, SOON, each_runtime};
use gantry_testkit::{BundleBuilder, Daemon, DaemonOptions, Finished, Leaks, Runtime, finish};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

each_runtime!(
    output_and_status_are_the_containers_own,
    a_container_killed_from_outside_gives_137,
    a_missing_command_gives_127_and_a_file_that_is_none_126,
    input_reaches_the_container,
    a_root_without_a_bundle,
);

/// Runs a bundle to its end, and insists that nothing of it remains.
fn run(daemon: &Daemon, bundle: BundleBuilder) -> Finished {
    let bundle = bundle.build();
    let leaks = Leaks::snapshot(daemon.scratch());
    let finished = daemon.gantry(["run", "--rm", "--bundle", bundle.path().to_str().unwrap()]);
    leaks.assert_clean();
    finished
}

fn output_and_status_are_the_containers_own(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let done = run(&daemon, daemon.bundle().shell("echo out; echo err >&2"));
    assert_eq!((done.code(), &*done.stdout, &*done.stderr), (0, "out\n", "err\n"), "{done}");
    run(&daemon, daemon.bundle().shell("exit 7")).expect_code(7);
    run(&daemon, daemon.bundle().shell("sh -c 'kill -9 $$'; exit $?")).expect_code(137);
    // More than any pipe holds, whole and in order.
    let done = run(&daemon, daemon.bundle().shell("seq 1 40000"));
    assert_eq!(done.success().lines().count(), 40_000);
    assert!(done.stdout.ends_with("39999\n40000\n"));
    let bundle =
        daemon.bundle().shell("echo $GREETING in $(pwd) as $(id -u)").env("GREETING", "hi").cwd("/tmp");
    assert_eq!(run(&daemon, bundle.user(65534, 65534)).success(), "hi in /tmp as 65534\n");
}

fn a_container_killed_from_outside_gives_137(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let leaks = Leaks::snapshot(daemon.scratch());

    let mut attached = daemon.client();
    attached.args(["run", "--rm", "--name", bundle.id(), "--bundle"]).arg(bundle.path());
    let attached = std::thread::spawn(move || finish(&mut attached, SOON));
    assert_eq!(events.next().r#type, "start-container");
    daemon.gantry(["kill", "-s", "KILL", bundle.id()]).success();
    attached.join().unwrap().expect_code(137);
    assert_eq!(events.exit_of(bundle.id(), "init"), 137);
    leaks.assert_clean();
}

fn a_missing_command_gives_127_and_a_file_that_is_none_126(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let done = run(&daemon, daemon.bundle().args(["no-such-command"]));
    done.expect_code(127);
    // The runtime's own words reach the user.
    assert!(done.stderr.contains("no-such-command"), "{done}");
    run(&daemon, daemon.bundle().args(["/no/such/command"])).expect_code(127);

    let bundle = daemon.bundle().args(["/bin/data"]).build();
    let file = bundle.rootfs().join("bin/data");
    std::fs::write(&file, "no program\n").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let leaks = Leaks::snapshot(daemon.scratch());
    let done = daemon.gantry(["run", "--rm", "--bundle", bundle.path().to_str().unwrap()]);
    done.expect_code(126);
    assert!(done.stderr.to_lowercase().contains("permission denied"), "{done}");
    leaks.assert_clean();
}

fn input_reaches_the_container(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let bundle = daemon.bundle().shell("tr a-z A-Z").build();
    let leaks = Leaks::snapshot(daemon.scratch());
    let mut run = daemon.client();
    run.args(["run", "--rm", "-i", "--bundle"]).arg(bundle.path());
    let mut run = run.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // Dropped after writing, so that the container reads an end of file.
    run.stdin.take().unwrap().write_all(b"some words\n").unwrap();
    let done = run.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stdout), "SOME WORDS\n");
    assert!(done.status.success(), "{}", done.status);
    leaks.assert_clean();
}

fn a_root_without_a_bundle(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    // A name with the scratch's in it: the client chooses the cgroup by it.
    let name = format!("{}.demo", daemon.scratch().cgroup());
    let done = daemon.gantry(["run", "--rm", "--name", &name, "echo", "hello from the demo root"]);
    assert_eq!(done.success(), "hello from the demo root\n");
    let bundle = daemon.bundle().build();
    let rootfs = bundle.rootfs();
    let done =
        daemon.gantry(["run", "--rm", "--name", &name, "--rootfs", rootfs.to_str().unwrap(), "ls", "/"]);
    assert!(done.success().lines().any(|line| line == "proc"), "{done}");
}

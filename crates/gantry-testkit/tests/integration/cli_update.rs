//! Limits and what is used of them: `gantry run` with limits, `update`, `stats`, `top`, and checkpoints.

use crate::support::{SOON, each_runtime};
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Leaks, Runtime, finish, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

each_runtime!(limits_change_while_it_runs);

fn run_detached(daemon: &Daemon, bundle: &Bundle) {
    let path = bundle.path().to_str().unwrap();
    daemon.gantry(["run", "-d", "--name", bundle.id(), "--bundle", path]).success();
}

/// What `gantry stats` says of one container.
fn usage(daemon: &Daemon, id: &str) -> Value {
    let done = daemon.gantry(["stats", "--format", "json", id]);
    serde_json::from_str::<Value>(done.success()).unwrap()[0].take()
}

/// Microseconds of processor time in each period, as the kernel has them in cgroup v1 or v2.
fn quota(daemon: &Daemon, bundle: &Bundle) -> String {
    let path = bundle.config()["linux"]["cgroupsPath"].as_str().unwrap().trim_start_matches('/').to_owned();
    let folders = daemon.scratch().cgroup_folders().into_iter().filter(|folder| folder.ends_with(&path));
    let mut quotas = folders.filter_map(|folder| {
        let file = ["cpu.cfs_quota_us", "cpu.max"]
            .iter()
            .map(|name| folder.join(name))
            .find(|file| file.exists())?;
        fs::read_to_string(file).unwrap().split_whitespace().next().map(str::to_owned)
    });
    quotas.next().expect("a cgroup with a quota")
}

fn limits_change_while_it_runs(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["sleep", "1000"]).memory_limit_bytes(64 << 20).pids_limit(20).build();
    run_detached(&daemon, &bundle);
    let before = usage(&daemon, bundle.id());
    assert_eq!((&before["memoryLimitBytes"], &before["pidsLimit"]), (&json!(64 << 20), &json!(20)));

    let changes = ["--memory", "48m", "--pids", "10", "--cpus", "0.5"];
    daemon.gantry(["update", bundle.id()].into_iter().chain(changes)).success();
    let after = usage(&daemon, bundle.id());
    assert_eq!((&after["memoryLimitBytes"], &after["pidsLimit"]), (&json!(48 << 20), &json!(10)));
    assert_eq!(quota(&daemon, &bundle), "50000");

    // What the kernel refuses comes back in its words, and changes nothing.
    let refused = daemon.gantry(["update", bundle.id(), "--cpuset-cpus", "4000"]);
    refused.expect_code(1);
    assert!(refused.stderr.starts_with("gantry: cannot update "), "{refused}");
    let said = refused.stderr.to_lowercase();
    let kernel = ["invalid argument", "out of range", "permission denied"];
    assert!(kernel.iter().any(|words| said.contains(words)), "{refused}");
    assert_eq!(usage(&daemon, bundle.id())["memoryLimitBytes"], 48 << 20);
    daemon.gantry(["rm", "-f", bundle.id()]).success();
    leaks.assert_clean();
}

#[test]
fn a_run_has_the_limits_that_are_named() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    // A name with the scratch's in it: the client chooses the cgroup by it.
    let name = format!("{}.limits", daemon.scratch().cgroup());
    let limits = ["--memory", "32m", "--cpus", "1.5", "--pids", "7"];
    let run = ["run", "-d", "--name", &name].into_iter().chain(limits).chain(["sleep", "1000"]);
    daemon.gantry(run).success();
    let usage = usage(&daemon, &name);
    assert_eq!((&usage["memoryLimitBytes"], &usage["pidsLimit"]), (&json!(32 << 20), &json!(7)));
    let table = daemon.gantry(["stats"]);
    let row = table.success().lines().find(|line| line.starts_with(&name)).unwrap().to_owned();
    assert!(row.contains("32.0 MiB") && row.contains("1 of 7"), "{table}");
    daemon.gantry(["rm", "-f", &name]).success();
}

#[test]
fn top_knows_what_belongs_to_which_process() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let bundle = daemon.bundle().shell("sleep 1001; true").build();
    run_detached(&daemon, &bundle);
    let mut exec = daemon.client();
    exec.args(["exec", "--id", "e1", bundle.id(), "sh", "-c", "sleep 1002; true"]);
    let exec = std::thread::spawn(move || finish(&mut exec, SOON));
    let rows = wait_for("both commands", SOON, || {
        let done = daemon.gantry(["top", "--format", "json", bundle.id()]);
        let rows: Vec<Value> = serde_json::from_str(done.success()).unwrap();
        // The exec may run before the daemon lists it.
        let sleeps = |row: &&Value| row["command"][0] == "sleep" && !row["process"].is_null();
        let sleeps: Vec<Value> = rows.iter().filter(sleeps).cloned().collect();
        (sleeps.len() == 2).then_some(sleeps)
    });
    let of = |seconds: &str| rows.iter().find(|row| row["command"][1] == seconds).unwrap()["process"].clone();
    assert_eq!((of("1001"), of("1002")), ("init".into(), "e1".into()));
    daemon.gantry(["rm", "-f", bundle.id()]).success();
    exec.join().unwrap().expect_code(137);
}

#[test]
fn a_checkpoint_is_written_listed_and_started_from() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::Runc));
    let leaks = Leaks::snapshot(daemon.scratch());
    let script = "n=0; while :; do n=$((n + 1)); echo $n > /count; sleep 0.05; done";
    let bundle = daemon.bundle().shell(script).build();
    run_detached(&daemon, &bundle);
    let count = || fs::read_to_string(bundle.rootfs().join("count")).ok()?.trim().parse::<u32>().ok();
    wait_for("a count", SOON, || count().filter(|count| *count > 3));

    let created = daemon.gantry(["checkpoint", "create", "--exit", bundle.id(), "saved"]);
    if created.code() != 0 {
        // Nothing is left of it, and the container has not noticed.
        assert!(created.stderr.starts_with("gantry: cannot write a checkpoint of "), "{created}");
        assert_eq!(daemon.gantry(["checkpoint", "ls", bundle.id()]).success().lines().count(), 1);
        daemon.gantry(["rm", "-f", bundle.id()]).success();
        leaks.assert_clean();
        let check = finish(Command::new("criu").arg("check"), SOON);
        assert_ne!(check.code(), 0, "CRIU works here, so this must, too: {created}");
        eprintln!("skipped: CRIU does not work on this machine: {}", check.stderr.trim());
        return;
    }
    wait_for("the end", SOON, || daemon.gantry(["ps", "-q"]).success().is_empty().then_some(()));
    let saved = count().unwrap();
    let path = bundle.path().to_str().unwrap();
    let again = format!("{}-again", bundle.id());
    daemon.gantry(["run", "-d", "--name", &again, "--bundle", path, "--checkpoint", "saved"]).success();
    wait_for("it to count on", SOON, || count().filter(|count| *count > saved));
    let list = daemon.gantry(["checkpoint", "ls", &again]);
    assert!(list.success().contains("saved"), "{list}");
    assert_eq!(daemon.gantry(["checkpoint", "rm", &again, "saved"]).success(), "saved\n");
    daemon.gantry(["rm", "-f", &again]).success();
    daemon.gantry(["rm", bundle.id()]).success();
    leaks.assert_clean();
}

//! What a container may use and uses, and its checkpoints.

use super::{Ctr, NOT_FOUND, expect};
use crate::support::{Api, SOON};
use gantry_testkit::{Bundle, Leaks, finish, wait_for};
use std::fs;
use std::process::Command;

/// The content of a file in one of the container's cgroups, whichever of the names it has here.
fn limit(bundle: &Bundle, names: &[&str]) -> String {
    let folders = bundle.scratch().cgroup_folders();
    // The parent of the container's own has files of the same names.
    let own = folders.iter().filter(|folder| !folder.ends_with(bundle.scratch().cgroup()));
    let mut files = own.flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    let text = files.find_map(|file| fs::read_to_string(file).ok());
    text.unwrap_or_else(|| panic!("none of {names:?}")).trim().to_owned()
}

#[test]
fn limits_change() {
    let ctr = Ctr::new();
    let bundle = ctr.sleeper();
    let before = limit(&bundle, &["pids.max"]);
    let update = ["containers", "update", bundle.id(), "--memory-limit", "0x4000000", "--cpu-shares", "512"];
    expect(&ctr.run(&update), 0, "", "");
    assert_eq!(limit(&bundle, &["memory.limit_in_bytes", "memory.max"]), "67108864");
    let shares = limit(&bundle, &["cpu.shares", "cpu.weight"]);
    assert!(["512", "20"].contains(&&*shares), "{shares}");
    // What is not given stays.
    assert_eq!(limit(&bundle, &["pids.max"]), before);
    expect(
        &ctr.run(&["containers", "update", "--pids-limit=33", "-cpu-period", "50000", bundle.id()]),
        0,
        "",
        "",
    );
    assert_eq!(limit(&bundle, &["pids.max"]), "33");
    assert_eq!(limit(&bundle, &["memory.limit_in_bytes", "memory.max"]), "67108864");
    let quota = ["containers", "update", bundle.id(), "--cpu-quota", "25000", "--cpuset-cpus", "0"];
    expect(&ctr.run(&quota), 0, "", "");
    assert!(limit(&bundle, &["cpu.cfs_quota_us", "cpu.max"]).starts_with("25000"));
    assert_eq!(limit(&bundle, &["cpuset.cpus"]), "0");
    expect(&ctr.run(&["containers", "update", "nobody", "--pids-limit", "1"]), 1, "", NOT_FOUND);
}

#[test]
fn stats_are_one_object_without_a_newline() {
    let ctr = Ctr::new();
    let bundle = ctr.sleeper();
    let text = ctr.run(&["containers", "stats", bundle.id()]).success().to_owned();
    assert!(text.starts_with('{') && text.ends_with('}'), "{text}");
    let stats: serde_json::Value = serde_json::from_str(&text).unwrap();
    let stat = |path: &str| stats.pointer(path).and_then(serde_json::Value::as_u64).unwrap_or(0);
    assert!(stat("/cgroup_stats/memory_stats/usage/usage") > 0, "{text}");
    assert!(stat("/cgroup_stats/cpu_stats/system_usage") > 0, "{text}");
    assert_eq!(stat("/cgroup_stats/pids_stats/current"), 1, "{text}");
    assert!(stat("/timestamp/seconds") > 0, "{text}");
    expect(&ctr.run(&["containers", "stats", "nobody"]), 1, "", NOT_FOUND);
    expect(&ctr.run(&["containers", "stats"]), 1, "", NOT_FOUND);
}

#[test]
fn checkpoints_are_listed_and_deleted() {
    let ctr = Ctr::new();
    let bundle = ctr.sleeper();
    let none = "[ctr] rpc error: code = 5 desc = no such containers\n";
    expect(&ctr.run(&["checkpoints", "nobody"]), 1, "", none);
    // Without a folder there is nothing to list.
    let done = ctr.run(&["checkpoints", bundle.id()]);
    assert!(done.stderr.starts_with("[ctr] rpc error: code = 5 desc = "), "{done}");

    let write = |folder: std::path::PathBuf, text: &str| {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.json"), text).unwrap();
    };
    let checkpoints = bundle.path().join("checkpoints");
    write(
        checkpoints.join("one"),
        r#"{"name": "one", "tcp": true, "shell": false, "unixSockets": false, "exit": true}"#,
    );
    let elsewhere = bundle.path().join("elsewhere");
    write(
        elsewhere.join("two"),
        r#"{"name": "two", "tcp": false, "shell": true, "unixSockets": true, "exit": true}"#,
    );
    let header = "NAME                TCP                 UNIX SOCKETS        SHELL\n";
    let row =
        |name: &str, tcp: &str, unix: &str, shell: &str| format!("{name:<20}{tcp:<20}{unix:<20}{shell}\n");
    let one = format!("{header}{}", row("one", "true", "false", "false"));
    expect(&ctr.run(&["checkpoints", bundle.id()]), 0, &one, "");
    expect(&ctr.run(&["checkpoints", "list", bundle.id()]), 0, &one, "");
    let directory = ["--checkpoint-dir", elsewhere.to_str().unwrap()];
    let two = format!("{header}{}", row("two", "false", "true", "true"));
    expect(&ctr.run(&[&["checkpoints", "list", bundle.id()][..], &directory].concat()), 0, &two, "");

    let create = ["checkpoints", "create", bundle.id(), "one", "--tcp"];
    let done = ctr.run(&create);
    assert!(done.stderr.starts_with("[ctr] rpc error: code = 6 desc = mkdir "), "{done}");
    expect(&ctr.run(&["checkpoints", "delete", bundle.id(), "one"]), 0, "", "");
    expect(&ctr.run(&["checkpoints", "delete", bundle.id(), "one"]), 0, "", "");
    expect(&ctr.run(&["checkpoints", bundle.id()]), 0, header, "");
    expect(&ctr.run(&[&["checkpoints", "delete", bundle.id(), "two"][..], &directory].concat()), 0, "", "");
    assert!(!elsewhere.join("two").exists());
    expect(&ctr.run(&["checkpoints", "delete", "nobody", "one"]), 1, "", NOT_FOUND);
}

#[test]
fn a_checkpoint_is_written_and_started_from() {
    let ctr = Ctr::new();
    let leaks = Leaks::snapshot(ctr.daemon.scratch());
    let script = "n=0; while :; do n=$((n + 1)); echo $n >/count; sleep 0.05; done";
    let bundle = ctr.daemon.bundle().shell(script).build();
    let count = || fs::read_to_string(bundle.rootfs().join("count")).ok()?.trim().parse::<u32>().ok();
    let path = bundle.path().to_str().unwrap();
    let root = format!("--root={}", ctr.daemon.runtime_root().display());
    let start = |flags: &[&str]| {
        let start = ["containers", "start", "--runtime-args", &root, bundle.id(), path];
        ctr.run(&[&start, flags].concat())
    };
    let mut events = Api::connect(&ctr.daemon).events();
    expect(&start(&[]), 0, "", "");
    wait_for("a count", SOON, || count().filter(|count| *count > 3));
    let created = ctr.run(&["checkpoints", "create", "--exit", bundle.id(), "saved"]);
    if created.code() != 0 {
        let check = finish(Command::new("criu").arg("check"), SOON);
        assert_ne!(check.code(), 0, "CRIU works here, so this must, too: {created}");
        assert!(created.stderr.starts_with("[ctr] rpc error: code = 2 desc = "), "{created}");
        eprintln!("skipped: CRIU does not work on this machine: {}", check.stderr.trim());
        return;
    }
    events.exit_of(bundle.id(), "init");
    let saved = count().unwrap();
    expect(&start(&["-c", "saved"]), 0, "", "");
    wait_for("it to count on", SOON, || count().filter(|count| *count > saved));
    let header = "NAME                TCP                 UNIX SOCKETS        SHELL\n";
    let row = format!("{:<20}{:<20}{:<20}false\n", "saved", "false", "false");
    expect(&ctr.run(&["checkpoints", bundle.id()]), 0, &format!("{header}{row}"), "");
    expect(&ctr.run(&["checkpoints", "delete", bundle.id(), "saved"]), 0, "", "");
    expect(&ctr.run(&["containers", "kill", bundle.id(), "-s", "9"]), 0, "", "");
    assert_eq!(events.exit_of(bundle.id(), "init"), 137);
    leaks.assert_clean();
}

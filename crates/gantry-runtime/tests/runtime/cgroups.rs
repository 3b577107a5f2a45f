//! Cgroups: limits, pausing, killing, removing.

use std::fs;
use std::path::PathBuf;

use crate::harness::{Sandbox, cgroups_of, is_running, wait_until};

/// A file of the container's cgroup, in whichever hierarchy has it.
fn cgroup_file(id: &str, name: &str) -> Option<PathBuf> {
    cgroups_of(id).into_iter().map(|dir| dir.join(name)).find(|path| path.exists())
}

fn value(id: &str, names: [&str; 2]) -> String {
    let path = names.iter().find_map(|name| cgroup_file(id, name)).unwrap();
    fs::read_to_string(path).unwrap().trim().to_owned()
}

#[test]
fn limits_are_set_updated_and_measured() {
    let Some(sandbox) = Sandbox::new(&["sleep", "1000"]) else { return };
    sandbox.configure(|config| {
        config["linux"]["resources"]["memory"] = serde_json::json!({"limit": 33_554_432});
        config["linux"]["resources"]["pids"] = serde_json::json!({"limit": 20});
        config["linux"]["resources"]["cpu"] = serde_json::json!({"quota": 50_000, "period": 100_000});
    });
    let id = sandbox.id();
    sandbox.create(&id).ok();
    sandbox.run(&["start", &id]).ok();
    assert_eq!(value(&id, ["memory.limit_in_bytes", "memory.max"]), "33554432");
    assert_eq!(value(&id, ["pids.max", "pids.max"]), "20");
    assert!(["50000", "50000 100000"].contains(&value(&id, ["cpu.cfs_quota_us", "cpu.max"]).as_str()));

    let file = sandbox.path("resources.json");
    fs::write(&file, r#"{"memory": {"limit": 67108864, "swap": null}, "pids": {"limit": 30}}"#).unwrap();
    sandbox.run(&["update", "-r", file.to_str().unwrap(), &id]).ok();
    assert_eq!(value(&id, ["memory.limit_in_bytes", "memory.max"]), "67108864");
    fs::write(&file, r#"{"pids": {"limit": 31}}"#).unwrap();
    let updated = sandbox.run_with(&["update", "-r", "-", &id], |command| {
        command.stdin(fs::File::open(&file).unwrap());
    });
    updated.ok();
    assert_eq!(value(&id, ["pids.max", "pids.max"]), "31");

    let event: serde_json::Value =
        serde_json::from_str(&sandbox.run(&["events", "--stats", &id]).ok()).unwrap();
    assert_eq!(event["type"], "stats");
    assert_eq!(event["id"], id.as_str());
    assert_eq!(event["data"]["pids"]["limit"], 31);
    assert_eq!(event["data"]["pids"]["current"], 1);
    assert_eq!(event["data"]["memory"]["usage"]["limit"], 67_108_864);
    assert!(event["data"]["cpu"]["usage"]["total"].as_u64().unwrap() > 0);
    sandbox.end(&id);
}

#[test]
fn too_much_memory_kills() {
    let Some(sandbox) = Sandbox::new(&["sh", "-c", "x=0123456789; while :; do x=$x$x; done"]) else { return };
    sandbox.configure(|config| {
        config["linux"]["resources"]["memory"] = serde_json::json!({"limit": 16_777_216, "swap": 16_777_216});
    });
    assert_eq!(sandbox.run_container().code, Some(137));
}

#[test]
fn devices_are_as_the_rules_say() {
    let script =
        "mknod /tmp/m c 1 11 && cat /tmp/m; echo x >/dev/null && head -c 1 /dev/zero >/dev/null && echo ok";
    let Some(sandbox) = Sandbox::new(&["sh", "-c", script]) else { return };
    sandbox.configure(|config| {
        let capabilities = serde_json::json!(["CAP_MKNOD", "CAP_DAC_OVERRIDE"]);
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = capabilities.clone();
        }
    });
    let outcome = sandbox.run_container();
    assert_eq!(outcome.stdout, "ok\n", "{outcome:?}");
    assert!(outcome.stderr.contains("Operation not permitted"), "{outcome:?}");
}

#[test]
fn pausing_stops_and_resuming_goes_on() {
    let Some(sandbox) = Sandbox::new(&["sh", "-c", "while :; do echo x; sleep 0.01; done"]) else { return };
    let id = sandbox.id();
    let out = sandbox.path("ticks");
    let bundle = sandbox.bundle();
    sandbox
        .run_with(&["create", "-b", bundle.to_str().unwrap(), &id], |command| {
            command.stdout(fs::File::create(&out).unwrap());
        })
        .ok();
    sandbox.run(&["start", &id]).ok();
    let size = || fs::metadata(&out).unwrap().len();
    wait_until("it writes", || size() > 0);
    sandbox.run(&["pause", &id]).ok();
    assert_eq!(sandbox.status(&id), "paused");
    assert!(sandbox.run(&["pause", &id]).err().contains("cannot pause"));
    let paused = size();
    std::thread::sleep(std::time::Duration::from_millis(60));
    assert_eq!(size(), paused);
    sandbox.run(&["resume", &id]).ok();
    wait_until("it writes again", || size() > paused);
    assert!(sandbox.run(&["resume", &id]).err().contains("cannot resume"));
    // A paused container dies of SIGKILL all the same.
    sandbox.run(&["pause", &id]).ok();
    sandbox.run(&["kill", &id, "KILL"]).ok();
    sandbox.wait_status(&id, "stopped");
    sandbox.run(&["delete", &id]).ok();
    sandbox.assert_gone(&id);
}

/// A container in the host's pid namespace whose first process has ended and left another.
fn orphaned() -> Option<(Sandbox, String, u32)> {
    let sandbox = Sandbox::new(&["sh", "-c", "sleep 1000 & echo $!"])?;
    sandbox.configure(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
    });
    let (id, out, bundle) = (sandbox.id(), sandbox.path("child"), sandbox.bundle());
    sandbox
        .run_with(&["create", "-b", bundle.to_str().unwrap(), &id], |command| {
            command.stdout(fs::File::create(&out).unwrap());
        })
        .ok();
    sandbox.run(&["start", &id]).ok();
    sandbox.wait_status(&id, "stopped");
    let child = fs::read_to_string(out).unwrap().trim().parse().unwrap();
    assert!(is_running(child));
    Some((sandbox, id, child))
}

#[test]
fn kill_all_reaches_what_outlived_the_first_process() {
    let Some((sandbox, id, child)) = orphaned() else { return };
    assert!(sandbox.run(&["kill", &id, "KILL"]).err().contains("container not running"));
    sandbox.run(&["kill", "--all", &id, "KILL"]).ok();
    wait_until("the child is gone", || !is_running(child));
    sandbox.run(&["delete", &id]).ok();
    sandbox.assert_gone(&id);
}

#[test]
fn delete_ends_what_outlived_the_first_process() {
    let Some((sandbox, id, child)) = orphaned() else { return };
    sandbox.run(&["delete", &id]).ok();
    wait_until("the child is gone", || !is_running(child));
    sandbox.assert_gone(&id);
}

#[test]
fn a_cgroups_path_is_followed_and_cleaned() {
    let Some(sandbox) = Sandbox::new(&["sleep", "1000"]) else { return };
    let id = sandbox.id();
    let parent = format!("{id}-parent");
    sandbox.configure(|config| config["linux"]["cgroupsPath"] = format!("/{parent}/child").into());
    sandbox.create(&id).ok();
    let inside = format!("/{parent}/child");
    let text = fs::read_to_string(format!("/proc/{}/cgroup", sandbox.pid(&id))).unwrap();
    assert!(text.contains(&inside), "{text}");
    sandbox.end(&id);
    for dir in cgroups_of(&parent) {
        assert!(!dir.join("child").exists());
        fs::remove_dir(dir).unwrap();
    }
    sandbox.configure(|config| config["linux"]["cgroupsPath"] = "/../x".into());
    assert!(sandbox.create(&sandbox.id()).err().contains("cgroupsPath"));
}

//! Failures say what was wrong in the words that clients know, and leave nothing.

use std::fs;

use crate::harness::{Sandbox, is_running};

#[track_caller]
fn create_fails(sandbox: &Sandbox, words: &str) {
    let id = sandbox.id();
    let error = sandbox.create(&id).err();
    assert!(error.contains(words), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    sandbox.assert_gone(&id);
}

#[test]
fn a_missing_command_fails_the_creation() {
    for (command, words) in [
        ("NoSuchFile", "exec: \"NoSuchFile\": executable file not found in $PATH"),
        ("/x", "exec: \"/x\": stat /x: no such file or directory"),
        ("/etc/passwd", "exec: \"/etc/passwd\": permission denied"),
    ] {
        let Some(sandbox) = Sandbox::new(&[command]) else { return };
        create_fails(&sandbox, words);
    }
}

#[test]
fn a_command_that_cannot_be_executed_fails_the_start() {
    let Some(sandbox) = Sandbox::new(&["/bin/garbage"]) else { return };
    let garbage = sandbox.rootfs().join("bin/garbage");
    fs::write(&garbage, "\u{7f}no program").unwrap();
    fs::set_permissions(&garbage, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let id = sandbox.id();
    sandbox.create(&id).ok();
    let error = sandbox.run(&["start", &id]).err();
    assert!(error.contains("exec /bin/garbage: exec format error"), "{error}");
    sandbox.wait_status(&id, "stopped");
    sandbox.run(&["delete", &id]).ok();
    sandbox.assert_gone(&id);

    let id = sandbox.id();
    let error = sandbox.run(&["run", "--bundle", sandbox.bundle().to_str().unwrap(), &id]).err();
    assert!(error.contains("exec format error"), "{error}");
    sandbox.assert_gone(&id);
}

#[test]
fn a_mount_that_fails_is_named() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    sandbox.configure(|config| {
        let mount = serde_json::json!({
            "destination": "/mnt", "type": "bind", "source": "/no/such/source", "options": ["bind"]
        });
        config["mounts"].as_array_mut().unwrap().push(mount);
    });
    create_fails(&sandbox, "/no/such/source");
}

#[test]
fn a_hook_that_fails_is_named() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    sandbox.configure(|config| {
        config["hooks"]["createRuntime"] = serde_json::json!([{"path": "/bin/false"}]);
    });
    create_fails(&sandbox, "createRuntime hook");
}

#[test]
fn a_bundle_without_configuration_or_rootfs_is_named() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    sandbox.configure(|config| config["root"]["path"] = "nowhere".into());
    create_fails(&sandbox, "nowhere");
    fs::write(sandbox.bundle().join("config.json"), "{").unwrap();
    create_fails(&sandbox, "failed to parse");
    fs::remove_file(sandbox.bundle().join("config.json")).unwrap();
    create_fails(&sandbox, "config.json");
}

#[test]
fn limits_that_fail_leave_nothing() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    sandbox.configure(|config| config["linux"]["resources"]["cpu"] = serde_json::json!({"cpus": "99999"}));
    create_fails(&sandbox, "cpuset.cpus");
}

#[test]
fn an_interrupted_creation_is_cleared_by_force() {
    let Some(sandbox) = Sandbox::new(&["sleep", "1000"]) else { return };
    let id = sandbox.id();
    sandbox.create(&id).ok();
    let pid = sandbox.pid(&id);
    // As if `create` had been killed before it wrote this.
    fs::remove_file(sandbox.state_dir().join(&id).join("state.json")).unwrap();
    assert!(sandbox.run(&["start", &id]).err().contains("still being created"));
    assert!(sandbox.run(&["delete", &id]).err().contains("delete --force"));
    sandbox.end(&id);
    assert!(!is_running(pid));
}

#[test]
fn a_removed_working_directory_is_no_obstacle() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    let directory = sandbox.path("gone");
    fs::create_dir(&directory).unwrap();
    let leave = directory.clone();
    let (id, bundle) = (sandbox.id(), sandbox.bundle());
    let outcome = sandbox.run_with(&["run", "-b", bundle.to_str().unwrap(), &id], move |command| {
        command.current_dir(&leave);
        let remove = move || fs::remove_dir(&leave);
        // SAFETY: the closure makes one system call; the path is short enough for its C string to be made on the stack, so that
        // nothing is allocated between fork and exec.
        unsafe { std::os::unix::process::CommandExt::pre_exec(command, remove) };
    });
    outcome.ok();
}

#[test]
fn an_unknown_container_does_not_exist() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    for command in ["state", "start", "kill", "delete", "pause", "resume", "ps"] {
        let error = sandbox.run(&[command, "unknown"]).err();
        assert!(error.contains("container \"unknown\" does not exist"), "{command}: {error}");
    }
    assert!(sandbox.run(&["exec", "unknown", "true"]).err().contains("does not exist"));
    sandbox.run(&["delete", "--force", "unknown"]).ok();
}

#[test]
fn an_id_is_taken_once_and_must_be_valid() {
    let Some(sandbox) = Sandbox::new(&["sleep", "1000"]) else { return };
    let id = sandbox.id();
    sandbox.create(&id).ok();
    assert!(sandbox.create(&id).err().contains("container with id exists"));
    assert_eq!(sandbox.status(&id), "created");
    sandbox.end(&id);
    for id in ["..", "a/b", "a b"] {
        assert!(sandbox.create(id).err().contains("invalid container id"), "{id}");
    }
}

#[test]
fn the_log_has_one_json_line_for_a_failure() {
    let Some(sandbox) = Sandbox::new(&["NoSuchFile"]) else { return };
    let (log, bundle) = (sandbox.path("log.json"), sandbox.bundle());
    let global = ["--log", log.to_str().unwrap(), "--log-format", "json"];
    let last = ["create", "-b", bundle.to_str().unwrap(), &sandbox.id()].map(str::to_owned);
    let args: Vec<&str> = global.iter().copied().chain(last.iter().map(String::as_str)).collect();
    let told = sandbox.run(&args).err();
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("executable file not found in $PATH"));
    assert!(told.contains(line["msg"].as_str().unwrap()));
    assert!(line["time"].as_str().unwrap().contains('T'));

    // A command line that is not understood is told the same way.
    let args: Vec<&str> = global.iter().copied().chain(["create", "a/b"]).collect();
    sandbox.run(&args).err();
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.lines().nth(1).unwrap().contains("invalid container id"), "{text}");
}

#[test]
fn systemd_cgroups_are_refused() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    let error = sandbox.run(&["--systemd-cgroup", "list"]).err();
    assert!(error.contains("--systemd-cgroup"), "{error}");
}

#[cfg(not(feature = "seccomp"))]
#[test]
fn a_filter_without_the_feature_is_refused() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    sandbox.configure(|config| {
        config["linux"]["seccomp"] = serde_json::json!({"defaultAction": "SCMP_ACT_ERRNO"});
    });
    create_fails(&sandbox, "feature `seccomp`");
}

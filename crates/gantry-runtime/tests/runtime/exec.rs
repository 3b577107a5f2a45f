//! Further processes in a running container.

use std::fs;

use crate::harness::{Sandbox, is_running};

/// A sandbox with a container that runs.
fn running() -> Option<(Sandbox, String)> {
    let sandbox = Sandbox::new(&["sleep", "1000"])?;
    let id = sandbox.id();
    sandbox.create(&id).ok();
    sandbox.run(&["start", &id]).ok();
    Some((sandbox, id))
}

#[test]
fn in_the_foreground_it_has_output_and_status() {
    let Some((sandbox, id)) = running() else { return };
    let outcome = sandbox.run(&["exec", &id, "sh", "-c", "echo out; echo err >&2; exit 5"]);
    assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (Some(5), "out\n", "err\n"));
    let outcome = sandbox.run(&["exec", &id, "sh", "-c", "kill -KILL $$"]);
    assert_eq!(outcome.code, Some(137));
    sandbox.end(&id);
}

#[test]
fn it_is_in_the_namespaces_and_cgroup_of_the_container() {
    let Some((sandbox, id)) = running() else { return };
    let script = "for n in pid mnt uts ipc net cgroup user; do readlink /proc/self/ns/$n; done";
    let inside = sandbox.run(&["exec", &id, "sh", "-c", script]).ok();
    let pid = sandbox.pid(&id);
    let outside: String = ["pid", "mnt", "uts", "ipc", "net", "cgroup", "user"]
        .iter()
        .map(|n| fs::read_link(format!("/proc/{pid}/ns/{n}")).unwrap().to_str().unwrap().to_owned() + "\n")
        .collect();
    assert_eq!(inside, outside);
    let pid_file = sandbox.path("pid");
    sandbox.run(&["exec", "-d", "--pid-file", pid_file.to_str().unwrap(), &id, "sleep", "1000"]).ok();
    let exec_pid = fs::read_to_string(&pid_file).unwrap();
    let cgroups = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(cgroups(&exec_pid), cgroups(&pid.to_string()));
    sandbox.end(&id);
}

#[test]
fn detached_it_runs_on_and_its_pid_file_holds_the_host_pid() {
    let Some((sandbox, id)) = running() else { return };
    let pid_file = sandbox.path("pid");
    assert_eq!(
        sandbox.run(&["exec", "-d", "--pid-file", pid_file.to_str().unwrap(), &id, "sleep", "999"]).ok(),
        ""
    );
    let pid: u32 = fs::read_to_string(pid_file).unwrap().parse().unwrap();
    assert!(is_running(pid));
    assert_eq!(fs::read(format!("/proc/{pid}/cmdline")).unwrap(), b"sleep\x00999\x00");
    let pids: Vec<u32> = serde_json::from_str(&sandbox.run(&["ps", "--format", "json", &id]).ok()).unwrap();
    assert!(pids.contains(&pid) && pids.contains(&sandbox.pid(&id)));
    sandbox.end(&id);
    assert!(!is_running(pid));
}

#[test]
fn a_process_file_is_followed() {
    let Some((sandbox, id)) = running() else { return };
    let file = sandbox.path("process.json");
    let process = serde_json::json!({
        "user": {"uid": 1000, "gid": 100, "additionalGids": [7]},
        "args": ["sh", "-c", "id -u; id -g; id -G; pwd; echo $X"],
        "env": ["PATH=/bin", "X=y"],
        "cwd": "/tmp",
    });
    fs::write(&file, process.to_string()).unwrap();
    let printed = sandbox.run(&["exec", "--process", file.to_str().unwrap(), &id]).ok();
    assert_eq!(printed, "1000\n100\n100 7\n/tmp\ny\n");
    sandbox.end(&id);
}

#[test]
fn flags_change_the_containers_own_process() {
    let Some((sandbox, id)) = running() else { return };
    let script = "id -u; id -g; pwd; echo $X; echo $TERM";
    let args = ["exec", "--user", "7:8", "--cwd", "/etc", "-e", "X=z", &id, "sh", "-c", script];
    assert_eq!(sandbox.run(&args).ok(), "7\n8\n/etc\nz\nxterm\n");
    sandbox.end(&id);
}

#[test]
fn a_missing_command_is_told_in_known_words() {
    let Some((sandbox, id)) = running() else { return };
    for (command, words) in [
        ("NoSuchFile", "exec: \"NoSuchFile\": executable file not found in $PATH"),
        ("/x", "exec: \"/x\": stat /x: no such file or directory"),
        ("/etc/passwd", "exec: \"/etc/passwd\": permission denied"),
    ] {
        let pid_file = sandbox.path("pid");
        let error =
            sandbox.run(&["exec", "-d", "--pid-file", pid_file.to_str().unwrap(), &id, command]).err();
        assert!(error.contains(words), "{error}");
        assert!(!pid_file.exists());
    }
    let pids: Vec<u32> = serde_json::from_str(&sandbox.run(&["ps", "-f", "json", &id]).ok()).unwrap();
    assert_eq!(pids, [sandbox.pid(&id)]);
    let mut left: Vec<String> = fs::read_dir(sandbox.state_dir().join(&id))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["config.json", "state.json"]);
    sandbox.end(&id);
}

#[test]
fn a_stopped_or_paused_container_takes_none() {
    let Some((sandbox, id)) = running() else { return };
    sandbox.run(&["pause", &id]).ok();
    assert!(sandbox.run(&["exec", &id, "true"]).err().contains("paused"));
    sandbox.run(&["resume", &id]).ok();
    sandbox.run(&["exec", &id, "true"]).ok();
    sandbox.run(&["kill", &id, "KILL"]).ok();
    sandbox.wait_status(&id, "stopped");
    assert!(sandbox.run(&["exec", &id, "true"]).err().contains("stopped"));
    sandbox.end(&id);
}

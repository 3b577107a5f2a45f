//! create, start, state, kill, delete, run, list, and what they print.

use std::fs;

use crate::harness::{Sandbox, is_running, wait_until};

#[test]
fn a_container_goes_from_created_to_deleted() {
    let Some(sandbox) = Sandbox::new(&["sleep", "1000"]) else { return };
    let id = sandbox.id();
    let pid_file = sandbox.path("pid");
    let bundle = sandbox.bundle();
    let create =
        ["create", "--bundle", bundle.to_str().unwrap(), "--pid-file", pid_file.to_str().unwrap(), &id];
    assert_eq!(sandbox.run(&create).ok(), "");
    let state = sandbox.state(&id);
    assert_eq!(state["status"], "created");
    assert_eq!(state["id"], id.as_str());
    assert_eq!(state["bundle"], fs::canonicalize(&bundle).unwrap().to_str().unwrap());
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), state["pid"].to_string());
    assert!(is_running(sandbox.pid(&id)));

    assert_eq!(sandbox.run(&["start", &id]).ok(), "");
    assert_eq!(sandbox.status(&id), "running");
    assert!(sandbox.run(&["start", &id]).err().contains("already running"));
    assert!(sandbox.run(&["delete", &id]).err().contains("that is not stopped: running"));
    assert!(sandbox.run(&["list", "--quiet"]).ok().contains(&id));

    let pid = sandbox.pid(&id);
    assert_eq!(sandbox.run(&["kill", &id, "SIGKILL"]).ok(), "");
    sandbox.wait_status(&id, "stopped");
    assert!(!is_running(pid));
    assert_eq!(sandbox.state(&id)["pid"], 0);
    assert!(sandbox.run(&["kill", &id]).err().contains("container not running"));
    assert_eq!(sandbox.run(&["delete", &id]).ok(), "");
    sandbox.assert_gone(&id);
}

#[test]
fn a_created_container_is_deleted_without_force() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    let id = sandbox.id();
    sandbox.create(&id).ok();
    let pid = sandbox.pid(&id);
    sandbox.run(&["delete", &id]).ok();
    sandbox.assert_gone(&id);
    assert!(!is_running(pid));
}

#[test]
fn run_ends_with_the_status_of_the_command() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137), ("kill -TERM $$", 143)] {
        // A process that kills itself must not be the first of a pid namespace, which ignores that.
        let script = format!("sh -c '{script}'; exit $?");
        let Some(sandbox) = Sandbox::new(&["sh", "-c", &script]) else { return };
        let id = sandbox.id();
        let outcome = sandbox.run(&["run", "--bundle", sandbox.bundle().to_str().unwrap(), &id]);
        assert_eq!(outcome.code, Some(code), "{script}: {outcome:?}");
        sandbox.assert_gone(&id);
    }
}

#[test]
fn run_ends_with_the_signal_of_the_first_process() {
    let Some(sandbox) = Sandbox::new(&["sleep", "1000"]) else { return };
    let id = sandbox.id();
    let mut run = sandbox.spawn(&["run", "--bundle", sandbox.bundle().to_str().unwrap(), &id]);
    wait_until("it runs", || sandbox.run(&["state", &id]).stdout.contains("running"));
    sandbox.run(&["kill", &id, "9"]).ok();
    assert_eq!(run.wait().unwrap().code(), Some(137));
    sandbox.assert_gone(&id);
}

#[test]
fn run_passes_signals_on() {
    let script = "trap 'exit 9' TERM; while :; do sleep 0.01; done";
    let Some(sandbox) = Sandbox::new(&["sh", "-c", script]) else { return };
    let id = sandbox.id();
    let mut run = sandbox.spawn(&["run", "--bundle", sandbox.bundle().to_str().unwrap(), &id]);
    wait_until("it runs", || sandbox.run(&["state", &id]).stdout.contains("running"));
    std::thread::sleep(std::time::Duration::from_millis(100));
    let pid = rustix::process::Pid::from_raw(i32::try_from(run.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(9));
    sandbox.assert_gone(&id);
}

#[test]
fn a_detached_run_leaves_the_container_running() {
    let Some(sandbox) = Sandbox::new(&["sleep", "1000"]) else { return };
    let id = sandbox.id();
    let pid_file = sandbox.path("pid");
    let (bundle, pid_path) = (sandbox.bundle(), pid_file.to_str().unwrap().to_owned());
    sandbox.run(&["run", "-d", "-b", bundle.to_str().unwrap(), "--pid-file", &pid_path, &id]).ok();
    assert_eq!(sandbox.status(&id), "running");
    assert_eq!(fs::read_to_string(pid_file).unwrap(), sandbox.pid(&id).to_string());
    sandbox.end(&id);
}

#[test]
fn the_process_has_the_environment_user_and_home_that_were_asked_for() {
    let script = "echo $A $B; id -u; id -g; id -G; pwd; echo $HOME; echo $0";
    let Some(sandbox) = Sandbox::new(&["sh", "-c", script, "zero"]) else { return };
    sandbox.configure(|config| {
        config["process"]["env"] = ["PATH=/bin", "A=1", "B=2", "A=3"].as_slice().into();
        config["process"]["user"] = serde_json::json!({"uid": 1000, "gid": 1000, "additionalGids": [5, 6]});
        config["process"]["cwd"] = "/tmp".into();
    });
    let printed = sandbox.run_container().ok();
    assert_eq!(printed, "3 2\n1000\n1000\n1000 5 6\n/tmp\n/home/user\nzero\n");
    sandbox.configure(|config| config["process"]["args"] = ["env"].as_slice().into());
    assert_eq!(sandbox.run_container().ok(), "PATH=/bin\nB=2\nA=3\nHOME=/home/user\n");
}

#[test]
fn a_missing_working_directory_is_made() {
    let Some(sandbox) = Sandbox::new(&["pwd"]) else { return };
    sandbox.configure(|config| config["process"]["cwd"] = "/srv/new".into());
    assert_eq!(sandbox.run_container().ok(), "/srv/new\n");
    assert!(sandbox.rootfs().join("srv/new").is_dir());
    sandbox.configure(|config| config["process"]["cwd"] = "/proc/new".into());
    let error = sandbox.run_container().err();
    assert!(error.contains("process.cwd /proc/new"), "{error}");
}

#[test]
fn a_configuration_of_the_0_2_line_runs() {
    let Some(sandbox) = Sandbox::new(&["cat", "/proc/self/oom_score_adj"]) else { return };
    let most = u64::MAX;
    sandbox.configure(|config| {
        config["ociVersion"] = "0.6.0-dev".into();
        config["platform"] = serde_json::json!({"os": "linux", "arch": "amd64"});
        config["process"]["capabilities"] = serde_json::json!(["CAP_KILL"]);
        config["linux"]["rootfsPropagation"] = "rslave".into();
        config["linux"]["resources"] = serde_json::json!({
            "devices": [{"allow": false, "access": "rwm"}], "disableOOMKiller": false, "oomScoreAdj": 100,
            "memory": {"limit": 33_554_432, "reservation": 0, "swap": most, "kernel": 0, "swappiness": most},
            "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""},
            "pids": {"limit": 0}, "blockIO": {"weight": 0}
        });
    });
    assert_eq!(sandbox.run_container().ok(), "100\n");
}

#[test]
fn signals_have_their_default_action() {
    let Some(sandbox) = Sandbox::new(&["cat", "/proc/self/status"]) else { return };
    let printed = sandbox.run_container().ok();
    let field =
        |name: &str| printed.lines().find_map(|l| l.strip_prefix(name)).map(str::trim).map(str::to_owned);
    for name in ["SigIgn:", "SigBlk:"] {
        assert_eq!(field(name).as_deref(), Some("0000000000000000"), "{name}");
    }
}

#[test]
fn hooks_run_in_order_with_the_state() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    let log = sandbox.path("hooks");
    let hook = |name: &str| {
        let script = format!("read -r state; echo {name} $state >> {}", log.display());
        serde_json::json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}])
    };
    sandbox.configure(|config| {
        for name in ["prestart", "createRuntime", "poststart", "poststop"] {
            config["hooks"][name] = hook(name);
        }
    });
    let id = sandbox.id();
    sandbox.run(&["run", "--bundle", sandbox.bundle().to_str().unwrap(), &id]).ok();
    let lines = fs::read_to_string(&log).unwrap();
    let names: Vec<&str> = lines.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["prestart", "createRuntime", "poststart", "poststop"]);
    assert!(lines.lines().all(|line| line.contains(&id)));
}

#[test]
fn what_is_asked_for_as_text_is_printed_and_nothing_else() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    assert!(sandbox.run(&["--version"]).ok().starts_with("gantry-runtime version "));
    assert!(sandbox.run(&["-v"]).ok().contains("spec: "));
    let features: serde_json::Value = serde_json::from_str(&sandbox.run(&["features"]).ok()).unwrap();
    assert_eq!(features["linux"]["cgroup"]["systemd"], false);
    assert_eq!(sandbox.run(&["list", "--format", "json"]).ok(), "[]\n");
}

#[test]
fn the_loopback_interface_of_a_new_network_is_up() {
    let Some(sandbox) = Sandbox::new(&["cat", "/sys/class/net/lo/flags"]) else { return };
    // IFF_UP and IFF_LOOPBACK.
    assert_eq!(sandbox.run_container().ok(), "0x9\n");
}

//! Everything that a client can ask of a container as a whole, except for its limits (`engine_resources`).

use crate::support::{Api, KILLED, SIGKILL, SOON, create_request, each_runtime, exec_request, host_process};
use gantry_api::types::CreateContainerRequest;
use gantry_testkit::{Daemon, DaemonOptions, Leaks, Runtime, StdioFifos, wait_until};
use rustix::fs::{Gid, Uid, chown};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

each_runtime!(
    pause_and_resume_also_across_a_restart,
    pids_are_the_hosts_with_inits_first,
    a_bundle_that_vanishes_under_a_running_container,
    root_of_a_user_namespace_is_mapped_and_has_its_streams,
);

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn end(api: &Api, id: &str) {
    let mut events = api.events();
    api.signal(id, "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(id, "init"), KILLED);
}

#[test]
fn what_was_asked_for_is_on_disk_and_in_the_answer() {
    let mut daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let leaks = Leaks::snapshot(daemon.scratch());
    let api = Api::connect(&daemon);
    let plain = daemon.bundle().args(["sleep", "1000"]).build();
    api.run(&plain);
    let state = json_of(&daemon.state_dir().join(plain.id()).join("state.json"));
    let expected = json!({
        "bundle": plain.path(), "labels": [], "stdin": "", "stdout": "", "stderr": "",
        "runtime": daemon.binaries().runtime(),
        "runtimeArgs": [format!("--root={}", daemon.runtime_root().display())],
        "shim": daemon.binaries().shim(), "noPivotRoot": false,
    });
    assert_eq!(state, expected);

    // A runtime of its own comes with its own arguments, and none of the daemon's.
    let root = daemon.scratch().path().join("other-root");
    let own = daemon.bundle().args(["sleep", "1000"]).env("COLOUR", "blue").build();
    let labels = ["a=b".to_owned(), "a label with \"quotes\"".to_owned()];
    let request = CreateContainerRequest {
        labels: labels.to_vec(),
        runtime: "runc".to_owned(),
        runtime_args: vec!["--root".to_owned(), root.to_str().unwrap().to_owned()],
        no_pivot_root: true,
        ..create_request(&own)
    };
    let made = api.create(request).unwrap();
    assert!(root.join(own.id()).is_dir(), "runc keeps its records where its arguments say");
    assert!(!daemon.runtime_root().join(own.id()).exists());
    let state = json_of(&daemon.state_dir().join(own.id()).join("state.json"));
    assert_eq!(state["labels"], json!(labels));
    assert_eq!(state["runtime"], "runc");
    assert_eq!(state["runtimeArgs"], json!(["--root", root]));
    assert_eq!(state["noPivotRoot"], true);
    let init = json_of(&daemon.state_dir().join(own.id()).join("init/process.json"));
    assert_eq!((&init["args"], &init["exec"]), (&json!(["sleep", "1000"]), &json!(false)));
    assert_eq!((&init["containerdStdin"], &init["noPivotRoot"]), (&json!("/dev/null"), &json!(true)));
    assert!(init["env"].as_array().unwrap().contains(&json!("COLOUR=blue")));

    // The same is said by each daemon that comes after.
    daemon.kill_hard();
    daemon.restart();
    let api = Api::connect(&daemon);
    let found = api.state(own.id()).unwrap().remove(0);
    assert_eq!((&*found.runtime, &found.labels), ("runc", &made.labels));
    assert_eq!(found.labels, labels);
    assert_eq!(found.bundle_path, own.path().to_str().unwrap());
    assert_eq!(found.processes, made.processes);
    assert_eq!(found.processes[0].args, ["sleep", "1000"]);
    let mut events = api.events();
    api.add_process(exec_request(own.id(), "e1", &["true"])).unwrap();
    assert_eq!(events.exit_of(own.id(), "e1"), 0);
    end(&api, own.id());
    end(&api, plain.id());
    fs::remove_dir_all(&root).unwrap();
    leaks.assert_clean();
}

fn root_of_a_user_namespace_is_mapped_and_has_its_streams(runtime: Runtime) {
    const ROOT: u32 = 200_000;
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let script = "read line; echo got $line as $(id -u):$(id -g); echo reopened >/dev/stdout; echo bad >&2; \
                  read forever";
    let bundle = daemon.bundle().shell(script).patch(|config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
        let mapping = json!([{ "containerID": 0, "hostID": ROOT, "size": 65536 }]);
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
    });
    let bundle = bundle.build();
    // Whoever is root in there is a stranger on the way to its root file system.
    for folder in [daemon.scratch().path(), bundle.path()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o711)).unwrap();
    }
    chown(bundle.rootfs(), Some(Uid::from_raw(ROOT)), Some(Gid::from_raw(ROOT))).unwrap();
    let stdio = StdioFifos::create(&bundle.path().join("io"), "init");
    let (out, err) = (stdio.stdout.collect(), stdio.stderr.collect());
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let pid = api.create_with(&bundle, &stdio).unwrap().processes[0].system_pid;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains(&format!("Uid:\t{ROOT}\t")), "{status}");
    let record = json_of(&daemon.state_dir().join(bundle.id()).join("init/process.json"));
    assert_eq!((&record["rootUID"], &record["rootGID"]), (&json!(ROOT), &json!(ROOT)));

    let exec_stdio = StdioFifos::create(&bundle.path().join("io"), "e1");
    let exec_out = exec_stdio.stdout.collect();
    let mut exec = exec_request(bundle.id(), "e1", &["sh", "-c", "echo exec $(id -u) >/dev/stdout"]);
    exec.stdout = exec_stdio.stdout.text();
    api.add_process(exec).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "e1"), 0);
    assert_eq!(exec_out.finish(SOON), "exec 0\n");

    stdio.stdin.write("a line\nand another\n");
    assert_eq!(events.exit_of(bundle.id(), "init"), 0);
    assert_eq!(out.finish(SOON), "got a line as 0:0\nreopened\n");
    assert_eq!(err.finish(SOON), "bad\n");
    leaks.assert_clean();
}

fn pause_and_resume_also_across_a_restart(runtime: Runtime) {
    let mut daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().shell("trap 'exit 4' TERM; while :; do sleep 0.05; done").build();
    let id = bundle.id();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    api.run(&bundle);
    let status = |api: &Api| api.state(id).unwrap().remove(0).status;
    let event = |kind: &str| (kind.to_owned(), id.to_owned(), String::new(), 0);
    assert_eq!((events.next_key(), &*status(&api)), (event("start-container"), "running"));
    api.set_paused(id, true).unwrap();
    assert_eq!((events.next_key(), &*status(&api)), (event("pause"), "paused"));
    assert!(!api.state(id).unwrap()[0].pids.is_empty());

    daemon.kill_hard();
    daemon.restart();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    assert_eq!(status(&api), "paused");
    // A frozen process takes its signal when it is thawed.
    api.signal(id, "init", 15).unwrap();
    assert_eq!(status(&api), "paused");
    api.set_paused(id, false).unwrap();
    assert_eq!(events.next_key(), event("resume"));
    assert_eq!(events.exit_of(id, "init"), 4);
    leaks.assert_clean();

    // To resume what is not paused does no harm, whether the runtime calls it an error or not.
    api.run(&bundle);
    let refused = api.set_paused(id, false).is_err();
    assert!(refused || runtime == Runtime::Crun);
    assert_eq!(status(&api), "running");
    api.set_paused(id, true).unwrap();
    assert_eq!(status(&api), "paused");
    // Killed while it is frozen, it ends at the latest when it is thawed.
    let mut events = api.events();
    api.signal(id, "init", SIGKILL).unwrap();
    if api.find(id).is_some() {
        // With cgroup v2 the kernel lets a frozen process die.
        let _ = api.set_paused(id, false);
    }
    assert_eq!(events.exit_of(id, "init"), KILLED);
    leaks.assert_clean();
}

fn pids_are_the_hosts_with_inits_first(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().shell("sleep 1000 & sleep 1000 & wait").build();
    let api = Api::connect(&daemon);
    let init = api.run(&bundle);
    let pids = || api.state(bundle.id()).unwrap().remove(0).pids;
    wait_until("three processes", SOON, || pids().len() == 3);
    let exec = api.add_process(exec_request(bundle.id(), "e1", &["sleep", "1000"])).unwrap();
    let found = pids();
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(i32::try_from(found[0]).unwrap(), init.pid);
    assert!(found.contains(&exec));
    for pid in &found {
        let command = if *pid == found[0] { "sh -c" } else { "sleep" };
        // A process is there before its execve.
        wait_until(command, SOON, || host_process(*pid).command.starts_with(command));
    }
    end(&api, bundle.id());
    leaks.assert_clean();
}

/// 0.2 removed such a container from its list and left it running.
fn a_bundle_that_vanishes_under_a_running_container(runtime: Runtime) {
    let mut daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    Api::connect(&daemon).run(&bundle);
    daemon.kill_hard();
    fs::rename(bundle.path(), daemon.scratch().path().join("elsewhere")).unwrap();
    daemon.restart();
    let api = Api::connect(&daemon);
    assert_eq!(api.find(bundle.id()).unwrap().0, "running");
    let error = api.add_process(exec_request(bundle.id(), "e1", &["true"])).unwrap_err();
    assert!(error.message().contains(bundle.path().to_str().unwrap()), "{error:?}");
    end(&api, bundle.id());
    leaks.assert_clean();
}

//! Starts that take their time, are given up or fail: stand-ins for runtime and shim say when and how.

use crate::support::{Api, KILLED, SIGKILL, SOON, create_request, exec_request, install};
use gantry_api::types::{AddProcessRequest, CreateContainerRequest};
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Fifo, Leaks, Runtime, Scratch, wait_until};
use serde_json::Value;
use std::fs;
use std::process::Stdio;
use std::thread;

/// A runtime that makes a container only when somebody has opened a FIFO.
struct Hesitant {
    daemon: Daemon,
    leaks: Leaks,
    bundle: Bundle,
    go: Fifo,
}

impl Hesitant {
    fn start(runtime: Runtime) -> Self {
        let scratch = Scratch::new();
        let go = Fifo::create(scratch.path().join("go"));
        let real = runtime.command(&scratch).program;
        let script =
            format!("case \" $* \" in *' create '*) read go <{} ;; esac\nexec {real} \"$@\"", go.text());
        let program = install(scratch.path(), "hesitant-runtime", &script);
        let options = DaemonOptions::new(runtime).runtime_program(program.to_str().unwrap());
        let daemon = Daemon::start_in(&scratch, options);
        let leaks = Leaks::snapshot(&scratch);
        let bundle = daemon.bundle().args(["sleep", "1000"]).build();
        Self { daemon, leaks, bundle, go }
    }
}

fn end(api: &Api, id: &str) {
    let mut events = api.events();
    api.signal(id, "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(id, "init"), KILLED);
}

#[test]
fn a_container_that_is_being_made_is_listed_as_stopped() {
    let Hesitant { daemon, leaks, bundle, go } = Hesitant::start(Runtime::BuiltIn);
    let api = Api::connect(&daemon);
    let request = create_request(&bundle);
    thread::scope(|scope| {
        let other = Api::connect(&daemon);
        let creating = scope.spawn(move || other.create(request).map(|container| container.status));
        wait_until("the container on the list", SOON, || api.find(bundle.id()).is_some());
        assert_eq!(api.find(bundle.id()), Some(("stopped".to_owned(), Vec::new())));
        // Whatever else there is, goes on.
        let neighbour = daemon.bundle().args(["sleep", "1000"]).build();
        let runtime = Runtime::BuiltIn.command(daemon.scratch());
        let request = create_request(&neighbour);
        api.create(CreateContainerRequest {
            runtime: runtime.program,
            runtime_args: runtime.args,
            ..request
        })
        .unwrap();
        end(&api, neighbour.id());
        assert!(!creating.is_finished());
        drop(go.writer());
        assert_eq!(creating.join().unwrap().unwrap(), "running");
    });
    assert_eq!(api.find(bundle.id()), Some(("running".to_owned(), vec!["init".to_owned()])));
    end(&api, bundle.id());
    leaks.assert_clean();
}

#[test]
fn a_client_that_goes_away_takes_its_start_with_it() {
    for runtime in [Runtime::BuiltIn, Runtime::Runc] {
        let Hesitant { daemon, leaks, bundle, go } = Hesitant::start(runtime);
        let api = Api::connect(&daemon);
        let mut client = daemon.client();
        client.args(["run", "-d", "--name", bundle.id(), "--bundle"]).arg(bundle.path());
        let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The runtime has been called once it opens the FIFO.
        let writer = go.writer();
        client.kill().unwrap();
        client.wait().unwrap();
        // It works on, as runtimes do that nobody has told of the client.
        drop(writer);
        wait_until("an empty list", SOON, || api.find(bundle.id()).is_none());
        assert_eq!(api.stored_events(None), [], "nobody was told of the start, so nobody is told of an end");
        // What the client keeps of a container that it started is its own affair.
        let _ = fs::remove_dir_all(daemon.scratch().path().join("bundles"));
        leaks.assert_clean();
    }
}

/// In this order: the shim's log, the runtime's log, and if neither says why, that alone.
#[test]
fn the_reason_of_a_failed_start_is_found_where_it_was_written() {
    let runtimes =
        r#"{"level":"warning","msg":"mind the gap"}{"level":"error","msg":"the \"runtime\" fell"}"#;
    let shims = r#"{"level": "error","msg": "the shim fell"}"#;
    let both = format!("echo '{runtimes}' >log.json; echo '{shims}' >shim-log.json; exit 1");
    let only_runtimes = format!("echo '{runtimes}' >log.json; exit 0");
    for (script, expected) in [
        (both.as_str(), "shim error: the shim fell"),
        (only_runtimes.as_str(), "oci runtime error: the \"runtime\" fell"),
        ("exit 0", "containerd: container not started"),
        ("kill -9 $$", "containerd: container not started"),
    ] {
        let scratch = Scratch::new();
        let shim = install(scratch.path(), "broken-shim", script);
        let daemon = Daemon::start_in(&scratch, DaemonOptions::new(Runtime::BuiltIn).shim(shim));
        let leaks = Leaks::snapshot(&scratch);
        let api = Api::connect(&daemon);
        let bundle = daemon.bundle().build();
        let error = api.create(create_request(&bundle)).unwrap_err();
        assert_eq!(error.message(), expected);
        assert_eq!(api.stored_events(None), []);
        leaks.assert_clean();
    }
    let options = DaemonOptions::new(Runtime::BuiltIn).shim("no-such-shim");
    let daemon = Daemon::start(options);
    let error = Api::connect(&daemon).create(create_request(&daemon.bundle().build())).unwrap_err();
    assert_eq!(error.message(), "no-such-shim not installed on system");
}

/// Whether the kernel has AppArmor or SELinux or neither: the runtime is told, and what it makes of it is told to the
/// client.
#[test]
fn security_labels_of_an_exec_reach_the_runtime() {
    let scratch = Scratch::new();
    let seen = scratch.path().join("seen.json");
    let script = format!(
        "for argument; do\n[ \"$previous\" = --process ] && cp \"$argument\" {}\nprevious=$argument\ndone\n\
         exec runc \"$@\"",
        seen.display()
    );
    let program = install(scratch.path(), "observed-runc", &script);
    let options = DaemonOptions::new(Runtime::Runc).runtime_program(program.to_str().unwrap());
    let daemon = Daemon::start_in(&scratch, options);
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    api.run(&bundle);
    let leaks = Leaks::snapshot(&scratch);
    let request = AddProcessRequest {
        apparmor_profile: "gantry-test-profile".to_owned(),
        selinux_label: "system_u:system_r:gantry_test_t:s0".to_owned(),
        ..exec_request(bundle.id(), "e1", &["true"])
    };
    match api.add_process(request) {
        Ok(_) => assert_eq!(events.exit_of(bundle.id(), "e1"), 0),
        Err(error) => {
            let said = error.message().to_lowercase();
            assert!(said.contains("apparmor") || said.contains("selinux"), "{error:?}");
        }
    }
    let process: Value = serde_json::from_slice(&fs::read(&seen).unwrap()).unwrap();
    assert_eq!(process["apparmorProfile"], "gantry-test-profile");
    assert_eq!(process["selinuxLabel"], "system_u:system_r:gantry_test_t:s0");
    leaks.assert_clean();
    end(&api, bundle.id());
}

/// In every hierarchy, also a named one that no controller belongs to; the runtime has written nothing down and knows of
/// none of them.
/// The runtime's own folder is known to the runtime alone.
#[test]
fn a_delete_that_is_killed_is_done_again() {
    let scratch = Scratch::new();
    let real = Runtime::BuiltIn.command(&scratch).program;
    let killed = scratch.path().join("killed");
    // It makes the container and says that it has not; the shim's delete is killed before it has begun, and the daemon's.
    let script = format!(
        "case \" $* \" in\n*' create '*) {real} \"$@\"; exit 1 ;;\n\
         *' delete '*) for n in 1 2; do mkdir {}$n 2>/dev/null && kill -9 $$; done ;;\nesac\nexec {real} \"$@\"",
        killed.display()
    );
    let program = install(scratch.path(), "killed-runtime", &script);
    let options = DaemonOptions::new(Runtime::BuiltIn).runtime_program(program.to_str().unwrap());
    let daemon = Daemon::start_in(&scratch, options);
    let leaks = Leaks::snapshot(&scratch);
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    Api::connect(&daemon).create(create_request(&bundle)).unwrap_err();
    assert!(scratch.path().join("killed2").exists(), "the deletes were not killed");
    leaks.assert_clean();
}

#[test]
fn a_runtime_that_is_killed_once_it_has_made_cgroups_leaves_none() {
    let scratch = Scratch::new();
    let real = Runtime::BuiltIn.command(&scratch).program;
    let cgroup = format!("/{}/killed", scratch.cgroup());
    let make = format!(
        "grep -E ' - cgroup2? ' /proc/self/mountinfo | cut -d' ' -f5 | while read mount; do mkdir -p $mount{cgroup}; done"
    );
    let script = format!("case \" $* \" in *' create '*) {make}; kill -9 $$ ;; esac\nexec {real} \"$@\"");
    let program = install(scratch.path(), "killed-runtime", &script);
    let options = DaemonOptions::new(Runtime::BuiltIn).runtime_program(program.to_str().unwrap());
    let daemon = Daemon::start_in(&scratch, options);
    let leaks = Leaks::snapshot(&scratch);
    let bundle = daemon.bundle().args(["sleep", "1000"]).cgroups_path(&cgroup).build();
    let error = Api::connect(&daemon).create(create_request(&bundle)).unwrap_err();
    assert!(error.message().contains("SIGKILL"), "{error:?}");
    // The stand-in has made them, or there was nothing to take away.
    assert!(!scratch.cgroup_folders().is_empty());
    leaks.assert_clean();
}

//! Bad input gets a clear error with the right gRPC code, and leaves nothing behind.

use crate::support::{Api, create_request, each_runtime, exec_request, install};
use gantry_api::types::CreateContainerRequest;
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Leaks, Runtime};
use std::fs;
use std::time::Duration;
use tonic::{Code, Status};

each_runtime!(a_command_that_is_not_there_is_named_by_the_runtime, an_id_in_use);

fn start() -> Daemon {
    Daemon::start(DaemonOptions::new(Runtime::BuiltIn))
}

/// Ids that must become neither a path nor an argument.
fn bad_ids() -> Vec<String> {
    let too_long = "x".repeat(256);
    let bad = [
        "", "/", "a/b", "/etc", "..", ".", "../up", "a\nb", "a\tb", "a\u{1b}b", "a\0b", "a b", "é", "-f",
        "a:b", &too_long,
    ];
    bad.map(str::to_owned).to_vec()
}

/// Checks code and text of an error.
#[track_caller]
fn expect(error: &Status, codes: &[Code], text: &str) {
    assert!(codes.contains(&error.code()), "expected {codes:?}: {error:?}");
    assert!(error.message().contains(text), "expected {text:?}: {error:?}");
}

#[test]
fn ids_that_cannot_be_names() {
    let daemon = start();
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().build();
    let running = daemon.bundle().args(["sleep", "1000"]).build();
    api.create(create_request(&running)).unwrap();
    let leaks = Leaks::snapshot(daemon.scratch());
    for id in bad_ids() {
        let error =
            api.create(CreateContainerRequest { id: id.clone(), ..create_request(&bundle) }).unwrap_err();
        expect(&error, &[Code::InvalidArgument], "id");
        let error = api.add_process(exec_request(running.id(), &id, &["true"])).unwrap_err();
        if id.is_empty() {
            // Text and code of containerd 0.2.
            expect(&error, &[Code::Unknown], "process id cannot be empty");
        } else {
            expect(&error, &[Code::InvalidArgument], "id");
        }
        leaks.assert_clean();
    }
    let longest = "x".repeat(255);
    api.create(CreateContainerRequest { id: longest, ..create_request(&bundle) }).unwrap();
}

#[test]
fn bundles_that_cannot_be_run() {
    let daemon = start();
    let api = Api::connect(&daemon);
    let leaks = Leaks::snapshot(daemon.scratch());
    let fails = |bundle_path: &str, codes: &[Code], text: &str| {
        let id = "bad-bundle".to_owned();
        let request =
            CreateContainerRequest { id, bundle_path: bundle_path.to_owned(), ..Default::default() };
        expect(&api.create(request).unwrap_err(), codes, text);
        leaks.assert_clean();
    };
    let refused = [Code::InvalidArgument, Code::FailedPrecondition];
    let path = |bundle: &Bundle| bundle.path().to_str().unwrap().to_owned();

    // Text and code of containerd 0.2.
    fails("", &[Code::Unknown], "empty bundle path");
    fails("relative/path", &refused, "relative/path");
    fails("/no/such/bundle", &[Code::NotFound], "/no/such/bundle");
    fails("/etc/passwd", &refused, "/etc/passwd");

    let bundle = daemon.bundle().build();
    fs::remove_file(bundle.path().join("config.json")).unwrap();
    fails(&path(&bundle), &[Code::NotFound], "config.json");
    for broken in ["", "{", "[]", "{}", "{\"process\": 7}", "\u{0}"] {
        fs::write(bundle.path().join("config.json"), broken).unwrap();
        fails(&path(&bundle), &refused, bundle.path().to_str().unwrap());
    }

    let bundle = daemon.bundle().build();
    fs::remove_dir_all(bundle.rootfs()).unwrap();
    fails(&path(&bundle), &refused, "rootfs");
    fs::write(bundle.rootfs(), "a file").unwrap();
    fails(&path(&bundle), &refused, "rootfs");
}

#[test]
fn a_runtime_that_is_not_installed() {
    let daemon = start();
    let api = Api::connect(&daemon);
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().build();
    for missing in ["no-such-runtime", "/no/such/runtime"] {
        let request = CreateContainerRequest { runtime: missing.to_owned(), ..create_request(&bundle) };
        let error = api.create(request).unwrap_err();
        assert!(error.message().contains(&format!("{missing} not installed on system")), "{error:?}");
        leaks.assert_clean();
    }
    let other = Daemon::start(DaemonOptions::new(Runtime::BuiltIn).runtime_program("no-such-runtime"));
    let bundle = other.bundle().build();
    let error = Api::connect(&other).create(create_request(&bundle)).unwrap_err();
    assert!(error.message().contains("no-such-runtime not installed on system"), "{error:?}");
}

fn a_command_that_is_not_there_is_named_by_the_runtime(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let api = Api::connect(&daemon);
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["no-such-command"]).build();
    let error = api.create(create_request(&bundle)).unwrap_err();
    assert!(error.message().contains("no-such-command"), "{error:?}");
    leaks.assert_clean();

    let running = daemon.bundle().args(["sleep", "1000"]).build();
    api.create(create_request(&running)).unwrap();
    let leaks = Leaks::snapshot(daemon.scratch());
    let error = api.add_process(exec_request(running.id(), "e1", &["no-such-command"])).unwrap_err();
    assert!(error.message().contains("no-such-command"), "{error:?}");
    leaks.assert_clean();
}

fn an_id_in_use(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    api.create(create_request(&bundle)).unwrap();
    let leaks = Leaks::snapshot(daemon.scratch());
    let error = api.create(create_request(&bundle)).unwrap_err();
    expect(&error, &[Code::AlreadyExists], bundle.id());
    api.add_process(exec_request(bundle.id(), "e1", &["sleep", "1000"])).unwrap();
    let error = api.add_process(exec_request(bundle.id(), "e1", &["true"])).unwrap_err();
    expect(&error, &[Code::AlreadyExists], "e1");
    let error = api.add_process(exec_request(bundle.id(), "init", &["true"])).unwrap_err();
    expect(&error, &[Code::AlreadyExists], "init");
    // The one that was there first has not been harmed.
    assert_eq!(api.state(bundle.id()).unwrap()[0].status, "running");
    api.signal(bundle.id(), "e1", 9).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "e1"), 137);
    leaks.assert_clean();
}

#[test]
fn ids_of_nobody() {
    let daemon = start();
    let api = Api::connect(&daemon);
    let leaks = Leaks::snapshot(daemon.scratch());
    // Code 2 with this text is what clients of containerd 0.2 know.
    let no_container = "containerd: container not found";
    expect(&api.state("nobody").unwrap_err(), &[Code::Unknown], no_container);
    expect(&api.signal("nobody", "init", 15).unwrap_err(), &[Code::Unknown], no_container);
    let error = api.add_process(exec_request("nobody", "e1", &["true"])).unwrap_err();
    expect(&error, &[Code::Unknown], no_container);
    leaks.assert_clean();

    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    api.create(create_request(&bundle)).unwrap();
    let error = api.signal(bundle.id(), "nobody", 15).unwrap_err();
    expect(&error, &[Code::Unknown], "containerd: process not found for container");
}

#[test]
fn streams_that_cannot_be_opened() {
    let daemon = start();
    let api = Api::connect(&daemon);
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let bad = "/no/such/folder/stream".to_owned();
    let requests = [
        CreateContainerRequest { stdin: bad.clone(), ..create_request(&bundle) },
        CreateContainerRequest { stdout: bad.clone(), ..create_request(&bundle) },
        CreateContainerRequest { stderr: bad.clone(), ..create_request(&bundle) },
    ];
    for request in requests {
        let error = api.create(request).unwrap_err();
        assert!(error.message().contains(&bad), "{error:?}");
        leaks.assert_clean();
    }
    api.create(create_request(&bundle)).unwrap();
    let leaks = Leaks::snapshot(daemon.scratch());
    let request = exec_request(bundle.id(), "e1", &["true"]);
    let error =
        api.add_process(gantry_api::types::AddProcessRequest { stdout: bad.clone(), ..request }).unwrap_err();
    assert!(error.message().contains(&bad), "{error:?}");
    leaks.assert_clean();
}

#[test]
fn a_start_that_takes_too_long() {
    let scratch = gantry_testkit::Scratch::new();
    // It has a child, and neither may survive; `delete` answers as a runtime that knows nothing of the container.
    let script = "case \" $* \" in *' create '*) sleep 1000; exit 1 ;; esac\nexit 1";
    let hanging = install(scratch.path(), "hanging-runtime", script);
    let options = DaemonOptions::new(Runtime::BuiltIn).start_timeout(Duration::from_millis(500));
    let daemon = Daemon::start_in(&scratch, options.runtime_program(hanging.to_str().unwrap()));
    let api = Api::connect(&daemon);
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().build();
    let error = api.create(create_request(&bundle)).unwrap_err();
    let text = "containerd: container did not start before the specified timeout";
    assert!(error.message().contains(text), "{error:?}");
    leaks.assert_clean();
    assert_eq!(api.state("").unwrap().len(), 0);
}

//! Checkpoints: written, listed, restored and removed. What CRIU itself does is tried where the kernel lets it; all around
//! it is tried everywhere, with a stand-in.

use crate::support::{Api, KILLED, SIGKILL, SOON, create_request, each_runtime, exec_request};
use gantry_api::types::{Checkpoint, CreateContainerRequest};
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Leaks, Runtime, StdioFifos, wait_for};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tonic::Code;

fn named(name: &str) -> Checkpoint {
    Checkpoint { name: name.to_owned(), ..Default::default() }
}

fn restore_request(bundle: &Bundle, name: &str, folder: &str) -> CreateContainerRequest {
    CreateContainerRequest {
        checkpoint: name.to_owned(),
        checkpoint_dir: folder.to_owned(),
        ..create_request(bundle)
    }
}

/// What CRIU has against this machine, if anything.
fn criu_refuses() -> Option<String> {
    let Ok(check) = Command::new("criu").arg("check").output() else {
        return Some("criu is not installed".to_owned());
    };
    (!check.status.success()).then(|| String::from_utf8_lossy(&check.stderr).trim().replace('\n', "; "))
}

/// A container whose memory shows whether it is the same one: it makes a folder for each number. A file would be open now
/// and then, and CRIU restores none whose size has changed.
fn counting(daemon: &Daemon) -> Bundle {
    daemon.bundle().shell("n=0; while :; do n=$((n + 1)); mkdir -p /count/$n; sleep 0.02; done").build()
}

fn counted(bundle: &Bundle) -> Vec<u32> {
    let folders = fs::read_dir(bundle.rootfs().join("count")).into_iter().flatten();
    folders.filter_map(|folder| folder.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn count(bundle: &Bundle, above: u32) -> u32 {
    wait_for("it to count on", SOON, || counted(bundle).into_iter().max().filter(|count| *count > above))
}

// Debian's crun is built without CRIU.
each_runtime!(@module builtin, BuiltIn, what_criu_writes_goes_on_where_it_was);
each_runtime!(@module runc, Runc, what_criu_writes_goes_on_where_it_was);

fn what_criu_writes_goes_on_where_it_was(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let bundle = counting(&daemon);
    let id = bundle.id();
    api.run(&bundle);
    let before = count(&bundle, 5);
    let written = api.checkpoint(id, named("running"), "");
    if let Some(reason) = criu_refuses() {
        println!("skipped: CRIU cannot work on this machine: {reason}");
        // Then this fails in its own words, leaves nothing and harms nobody.
        let error = written.unwrap_err();
        assert!(error.message().contains("criu"), "{error:?}");
        assert_eq!(api.checkpoints(id, "").unwrap(), []);
        count(&bundle, before);
        api.signal(id, "init", SIGKILL).unwrap();
        assert_eq!(events.exit_of(id, "init"), KILLED);
        leaks.assert_clean();
        return;
    }
    written.unwrap();
    let later = count(&bundle, before);
    api.checkpoint(id, Checkpoint { exit: true, ..named("ended") }, "").unwrap();
    events.exit_of(id, "init");
    assert_eq!(api.find(id), None);
    let saved = count(&bundle, later - 1);
    for (name, least) in [("ended", saved), ("running", before)] {
        fs::remove_dir_all(bundle.rootfs().join("count")).unwrap();
        api.create(restore_request(&bundle, name, "")).unwrap();
        let first = wait_for("it to count on", SOON, || counted(&bundle).into_iter().min());
        assert!(first >= least, "{name}: {first} after {least}");
        api.add_process(exec_request(id, "e1", &["true"])).unwrap();
        assert_eq!(events.exit_of(id, "e1"), 0);
        api.signal(id, "init", SIGKILL).unwrap();
        assert_eq!(events.exit_of(id, "init"), KILLED);
    }
    leaks.assert_clean();
}

/// `support/runc-with-checkpoints.sh`, installed for one test.
struct StandIn {
    program: PathBuf,
}

impl StandIn {
    fn start() -> (Self, Daemon) {
        let scratch = gantry_testkit::Scratch::new();
        let program = scratch.path().join("runc");
        fs::write(&program, include_str!("support/runc-with-checkpoints.sh")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let options = DaemonOptions::new(Runtime::Runc).runtime_program(program.to_str().unwrap());
        (Self { program }, Daemon::start_in(&scratch, options))
    }

    /// The words of the last command line of a subcommand, from that word on; and how many there were.
    fn said(&self, subcommand: &str) -> (String, usize) {
        let log = fs::read_to_string(self.program.with_extension("log")).unwrap();
        let word = format!(" {subcommand} ");
        let lines: Vec<&str> = log.lines().filter_map(|line| Some(line.split_once(&word)?.1)).collect();
        (lines.last().map(|line| (*line).to_owned()).unwrap_or_default(), lines.len())
    }

    fn make_it_fail(&self, fails: bool) {
        let switch = self.program.with_extension("fails");
        if fails { fs::write(switch, "").unwrap() } else { fs::remove_file(switch).unwrap() }
    }
}

#[test]
fn flags_and_folders_reach_the_runtime_and_its_failures_the_client() {
    let (runtime, daemon) = StandIn::start();
    let leaks = Leaks::snapshot(daemon.scratch());
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let id = bundle.id();
    api.run(&bundle);

    let folder = daemon.scratch().path().join("checkpoints of my own");
    let own = folder.to_str().unwrap();
    let all = Checkpoint {
        tcp: true,
        unix_sockets: true,
        shell: true,
        empty_ns: vec!["network".to_owned()],
        ..named("all")
    };
    let flags = "--shell-job --tcp-established --ext-unix-sk --empty-ns network";
    api.checkpoint(id, all.clone(), own).unwrap();
    let image = format!("--image-path {own}/all --work-path {own}/all/criu.work");
    assert_eq!(runtime.said("checkpoint").0, format!("{image} --leave-running {flags} {id}"));
    assert_eq!(api.find(id).unwrap().0, "running");
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("all/config.json")).unwrap()).unwrap();
    assert_eq!((&config["name"], &config["emptyNS"][0]), (&"all".into(), &"network".into()));
    assert!(config["created"].as_str().unwrap().starts_with("20"), "{config}");

    let error = api.checkpoint(id, all, own).unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists, "{error:?}");
    runtime.make_it_fail(true);
    let error = api.checkpoint(id, named("failed"), own).unwrap_err();
    assert!(error.message().contains("criu failed: type NOTIFY"), "{error:?}");
    assert!(!folder.join("failed").exists());
    runtime.make_it_fail(false);
    api.checkpoint(id, Checkpoint { exit: true, ..named("failed") }, own).unwrap();
    assert_eq!(events.exit_of(id, "init"), KILLED);
    assert_eq!(api.find(id), None);
    assert!(!runtime.said("checkpoint").0.contains("--leave-running"));

    // What comes from a checkpoint runs without a start of its own.
    let starts = runtime.said("start").1;
    api.create(restore_request(&bundle, "all", own)).unwrap();
    assert_eq!(runtime.said("start").1, starts);
    let (said, _) = runtime.said("restore");
    assert!(
        said.contains(&format!("--image-path {own}/all --work-path {own}/all/criu.work/restore-20")),
        "{said}"
    );
    assert!(said.contains(flags), "{said}");
    let listed = api.checkpoints(id, own).unwrap();
    let shown = |c: &Checkpoint| (c.name.clone(), c.tcp, c.unix_sockets, c.shell);
    let expected = [("all".to_owned(), true, true, true), ("failed".to_owned(), false, false, false)];
    assert_eq!(listed.iter().map(shown).collect::<Vec<_>>(), expected);
    api.add_process(exec_request(id, "e1", &["sh", "-c", "exit 3"])).unwrap();
    assert_eq!(events.exit_of(id, "e1"), 3);

    for name in ["all", "failed", "never-was"] {
        api.delete_checkpoint(id, name, own).unwrap();
    }
    assert_eq!(api.checkpoints(id, own).unwrap(), []);
    api.signal(id, "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(id, "init"), KILLED);
    leaks.assert_clean();
}

#[test]
fn a_restore_that_fails_leaves_nothing_and_one_with_a_terminal_has_it() {
    let (_runtime, daemon) = StandIn::start();
    let leaks = Leaks::snapshot(daemon.scratch());
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let bundle = daemon.bundle().shell("test -t 0 && echo on a terminal; sleep 1000").terminal(true).build();
    let stdio = StdioFifos::create(&bundle.path().join("io"), "init");
    let output = stdio.stdout.lines();
    api.create_with(&bundle, &stdio).unwrap();
    assert_eq!(output.next(SOON).as_deref(), Some("on a terminal"));
    api.checkpoint(bundle.id(), Checkpoint { exit: true, ..named("one") }, "").unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), KILLED);
    drop(output);
    leaks.assert_clean();

    let error = api.create(restore_request(&bundle, "two", "")).unwrap_err();
    assert!(error.message().contains("checkpoints/two"), "{error:?}");
    leaks.assert_clean();
    let images = bundle.path().join("checkpoints/one/pages.img");
    fs::rename(&images, images.with_extension("away")).unwrap();
    let error = api.create(restore_request(&bundle, "one", "")).unwrap_err();
    assert!(error.message().contains("criu failed: no image"), "{error:?}");
    leaks.assert_clean();
    fs::rename(images.with_extension("away"), &images).unwrap();

    // Of 0.2 a terminal's restore never came back.
    let output = stdio.stdout.lines();
    let request = restore_request(&bundle, "one", "");
    let (stdin, stdout) = (stdio.stdin.text(), stdio.stdout.text());
    api.create(CreateContainerRequest { stdin, stdout, ..request }).unwrap();
    assert_eq!(output.next(SOON).as_deref(), Some("on a terminal"));
    api.signal(bundle.id(), "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), KILLED);
    leaks.assert_clean();
}

#[test]
fn names_that_are_none_and_containers_that_are_not_there() {
    let (_runtime, daemon) = StandIn::start();
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let id = bundle.id();
    api.run(&bundle);
    let leaks = Leaks::snapshot(daemon.scratch());
    for name in ["", ".", "..", "a/b", "../up", "/etc", "a\0b", &"x".repeat(256)] {
        for error in [
            api.checkpoint(id, named(name), "").unwrap_err(),
            api.delete_checkpoint(id, name, "").unwrap_err(),
        ] {
            assert!(error.message().contains("checkpoint name"), "{name:?}: {error:?}");
        }
        if !name.is_empty() {
            let mut request = restore_request(&bundle, name, "");
            request.id = format!("{id}.restored");
            let error = api.create(request).unwrap_err();
            assert!(error.message().contains("checkpoint name"), "{name:?}: {error:?}");
        }
    }
    let error = api.delete_checkpoint(id, "", "").unwrap_err();
    assert_eq!(error.message(), "checkpoint name cannot be empty");
    // A folder that is not there yet has no list, and is not made for one.
    assert_eq!(api.checkpoints(id, "").unwrap_err().code(), Code::NotFound);
    assert!(!bundle.path().join("checkpoints").exists());
    let error = api.checkpoints("nobody", "").unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::NotFound, "no such containers"));
    for error in [
        api.checkpoint("nobody", named("one"), "").unwrap_err(),
        api.delete_checkpoint("nobody", "one", "").unwrap_err(),
    ] {
        assert!(error.message().contains("container not found"), "{error:?}");
    }
    // What is in the folder and is no checkpoint is not passed over in silence.
    api.checkpoint(id, named("good"), "").unwrap();
    fs::create_dir(Path::new(bundle.path()).join("checkpoints/bad")).unwrap();
    let error = api.checkpoints(id, "").unwrap_err();
    assert!(error.message().contains("checkpoints/bad/config.json"), "{error:?}");
    leaks.assert_clean();
}

//! Names and paths that lead elsewhere: checkpoints, runtimes, streams, labels, and the daemon's own files.

use crate::support::{Api, SOON, create_request, exec_request};
use gantry_api::types::{AddProcessRequest, Checkpoint, CreateContainerRequest};
use gantry_testkit::{Daemon, DaemonOptions, Fifo, Leaks, Runtime};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use tonic::Code;

fn start() -> Daemon {
    Daemon::start(DaemonOptions::new(Runtime::BuiltIn))
}

#[test]
fn checkpoints_stay_where_they_belong() {
    let daemon = start();
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    api.create(create_request(&bundle)).unwrap();
    let leaks = Leaks::snapshot(daemon.scratch());
    let precious = daemon.scratch().path().join("precious");
    fs::create_dir(&precious).unwrap();
    let long = "x".repeat(4096);
    for name in ["", ".", "..", "../../precious", "a/b", "/etc", "a\0b", &long] {
        let checkpoint = Checkpoint { name: name.to_owned(), ..Default::default() };
        assert!(api.checkpoint(bundle.id(), checkpoint, "").is_err(), "{name:?}");
        assert!(api.delete_checkpoint(bundle.id(), name, "").is_err(), "{name:?}");
    }
    // What is no checkpoint is not removed through a link either.
    fs::create_dir(bundle.path().join("checkpoints")).unwrap();
    symlink(&precious, bundle.path().join("checkpoints/link")).unwrap();
    let _ = api.delete_checkpoint(bundle.id(), "link", "");
    assert!(precious.is_dir());
    leaks.assert_clean();
}

#[test]
fn a_container_cannot_take_the_name_of_a_file_of_the_daemon() {
    let mut daemon = start();
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["true"]).build();
    for id in ["events.log", "events.log.new", "ended.log", ".ended.log.new", "gantryd.lock", "@ended"] {
        let request = CreateContainerRequest { id: id.to_owned(), ..create_request(&bundle) };
        assert_eq!(api.create(request).unwrap_err().code(), Code::InvalidArgument, "{id}");
    }
    daemon.restart();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    api.create(create_request(&bundle)).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), 0);
    assert_eq!(api.ended(bundle.id()).unwrap().status, 0);
}

#[test]
fn runtimes_that_are_options_folders_or_nonsense() {
    let daemon = start();
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["true"]).build();
    let leaks = Leaks::snapshot(daemon.scratch());
    let long = "x".repeat(4096);
    for runtime in
        ["--help", "-x", "/", "/etc", "/etc/passwd", "../../bin/sh", "a\0b", "a b", "/dev/null", &long]
    {
        let request = CreateContainerRequest { runtime: runtime.to_owned(), ..create_request(&bundle) };
        assert!(api.create(request).is_err(), "{runtime:?}");
        leaks.assert_clean();
    }
}

#[test]
fn labels_and_arguments_that_are_huge_or_odd() {
    let daemon = start();
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let labels = vec!["x".repeat(2 << 20), "\n\u{1b}[2J\0".to_owned(), "é".repeat(1000)];
    let request = CreateContainerRequest { labels: labels.clone(), ..create_request(&bundle) };
    api.create(request).unwrap();
    assert_eq!(api.state(bundle.id()).unwrap()[0].labels, labels);
    let leaks = Leaks::snapshot(daemon.scratch());
    // One argument may have 128 KB, all together 2 MB (execve(2)).
    let huge = "x".repeat(3 << 20);
    for args in [&["true", &huge][..], &["true", "a\0b"], &["a\0b"], &[""], &["/"]] {
        assert!(
            api.add_process(exec_request(bundle.id(), "e1", args)).is_err(),
            "{} bytes",
            args.concat().len()
        );
        leaks.assert_clean();
    }
    let mut events = api.events();
    api.add_process(exec_request(bundle.id(), "e1", &["sh", "-c", "exit 4"])).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "e1"), 4);
}

#[test]
fn streams_that_are_links_sockets_folders_or_fifos_nobody_opens() {
    let daemon = start();
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    api.create(create_request(&bundle)).unwrap();
    let folder = daemon.scratch().path().join("streams");
    fs::create_dir(&folder).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let _socket = UnixListener::bind(path("socket")).unwrap();
    symlink("nowhere/at/all", path("dangling")).unwrap();
    symlink("around", path("around")).unwrap();
    let _fifo = Fifo::create(path("fifo"));
    symlink("fifo", path("link")).unwrap();
    fs::create_dir(path("folder")).unwrap();
    let long = format!("/{}", "x".repeat(5000));
    let refused = [path("socket"), path("dangling"), path("around"), path("folder"), long, "a\0b".to_owned()];
    let taken = [path("fifo"), path("link"), "/dev/null".to_owned(), "/dev/zero".to_owned(), path("file")];
    let mut events = api.events();
    let mut run = |number: usize, stdout: &str| {
        let exec = exec_request(bundle.id(), &format!("e{number}"), &["sh", "-c", "echo x; exit 4"]);
        let started = api.add_process(AddProcessRequest { stdout: stdout.to_owned(), ..exec });
        if started.is_ok() {
            assert_eq!(events.exit_of(bundle.id(), &format!("e{number}")), 4, "{stdout:?}");
        }
        started
    };
    for (number, stdout) in refused.iter().enumerate() {
        assert!(run(number, stdout).is_err(), "{stdout:?}");
    }
    for (number, stdout) in taken.iter().enumerate() {
        run(100 + number, stdout).unwrap_or_else(|error| panic!("{stdout:?}: {error}"));
    }
    assert_eq!(fs::read_to_string(path("file")).unwrap(), "x\n");
    api.signal(bundle.id(), "init", 9).unwrap();
    gantry_testkit::wait_until("it is gone", SOON, || api.find(bundle.id()).is_none());
}

//! The daemon restarted under its containers.

use super::{Suite, key, record};
use crate::support::{Api, SOON, each_runtime, exec_request, host_process};
use gantry_testkit::Runtime;
use rustix::process::Signal;
use std::fs;

each_runtime!(restart, busybox_restore_dead_exec, restore_with_no_process_dir);

const CONTAINERS: usize = 10;

fn restart(runtime: Runtime) {
    let mut suite = Suite::start(runtime);
    let bundles: Vec<_> =
        (0..CONTAINERS).map(|_| suite.daemon.bundle().args(["sleep", "1000"]).build()).collect();
    for bundle in &bundles {
        suite.create(bundle);
    }
    for _ in &bundles {
        assert_eq!(suite.events.next().r#type, "start-container");
    }

    suite.daemon.restart();
    suite.api = Api::connect(&suite.daemon);
    let running = |suite: &Suite| {
        let containers = suite.api.state("").unwrap();
        assert!(containers.iter().all(|container| container.status == "running"));
        containers.len()
    };
    assert_eq!(running(&suite), CONTAINERS);
    let mut events = suite.api.events();
    let output = suite.exec(&bundles[0], "echo", &["echo", "-n", "Ay Caramba!"]);
    assert_eq!(key(&events.next()), ("start-process", "echo", 0));
    let exit = events.next();
    assert_eq!(key(&exit), ("exit", "echo", 0));
    assert_eq!(output.read(), "Ay Caramba!");

    let victims = [&bundles[1], &bundles[2]];
    let processes = victims.map(|bundle| host_process(suite.api.state(bundle.id()).unwrap()[0].pids[0]));
    suite.daemon.kill_hard();
    for process in &processes {
        process.signal(Signal::KILL);
        assert!(process.ends_within(SOON));
    }
    suite.daemon.restart();
    suite.api = Api::connect(&suite.daemon);
    let mut replay = suite.api.events_since(exit.timestamp);
    let mut exits: Vec<String> = Vec::new();
    for _ in victims {
        let event = replay.next();
        assert_eq!(key(&event), ("exit", "init", 137));
        exits.push(event.id);
    }
    exits.sort();
    let mut expected = victims.map(|bundle| bundle.id().to_owned());
    expected.sort();
    assert_eq!(exits, expected);
    assert_eq!(running(&suite), CONTAINERS - 2);

    for bundle in bundles.iter().filter(|bundle| !exits.iter().any(|id| id == bundle.id())) {
        suite.api.signal(bundle.id(), "init", 9).unwrap();
        assert_eq!(replay.exit_of(bundle.id(), "init"), 137);
    }
    suite.assert_empty();
}

fn busybox_restore_dead_exec(runtime: Runtime) {
    let mut suite = Suite::start(runtime);
    let bundle = suite.daemon.bundle().args(["sleep", "1000"]).build();
    suite.create(&bundle);
    let exec =
        suite.api.add_process(exec_request(bundle.id(), "top2", &["top", "-b", "-d", "1000"])).unwrap();
    let exec = host_process(exec);
    suite.expect(&bundle, &[("start-container", "", 0), ("start-process", "top2", 0)]);

    suite.daemon.kill_hard();
    exec.signal(Signal::KILL);
    assert!(exec.ends_within(SOON));
    suite.daemon.restart();
    suite.api = Api::connect(&suite.daemon);
    suite.events = suite.api.events_since(Some(suite.start));
    suite.expect(&bundle, &[("start-container", "", 0), ("start-process", "top2", 0), ("exit", "top2", 137)]);
    assert_eq!(suite.api.find(bundle.id()), Some(("running".to_owned(), vec!["init".to_owned()])));
    suite.end(&bundle);
}

fn restore_with_no_process_dir(runtime: Runtime) {
    let mut suite = Suite::start(runtime);
    let (bundle, neighbour) = (suite.top(), suite.top());
    suite.daemon.kill_hard();
    fs::remove_dir_all(record(&suite.daemon, &bundle, "init")).unwrap();
    suite.daemon.restart();
    suite.api = Api::connect(&suite.daemon);
    assert!(!suite.is_listed(&bundle));
    assert!(suite.is_listed(&neighbour));
    suite.events = suite.api.events();
    suite.api.signal(neighbour.id(), "init", 9).unwrap();
    assert_eq!(suite.events.exit_of(neighbour.id(), "init"), 137);
    // Nobody would ever end it.
    suite.assert_empty();
}

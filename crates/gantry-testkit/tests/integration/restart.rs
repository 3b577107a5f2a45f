//! A container outlives its daemon, however the daemon ends.

use crate::support::{Api, SOON, create_request, each_runtime, exec_request};
use gantry_testkit::{Daemon, DaemonOptions, Leaks, Runtime, StdioFifos, wait_until};

each_runtime!(
    a_killed_daemon_takes_its_containers_up_again,
    an_exit_during_the_daemons_absence_is_reported,
    sigterm_leaves_containers_running,
);

fn is_listed(daemon: &Daemon, id: &str) -> bool {
    let done = daemon.gantry(["ps"]);
    done.success().lines().any(|line| line.split_whitespace().any(|word| word == id))
}

fn a_killed_daemon_takes_its_containers_up_again(runtime: Runtime) {
    let mut daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().shell("read line; echo got $line; exit 9").build();
    let stdio = StdioFifos::create(&bundle.path().join("io"), "init");
    let output = stdio.stdout.collect();
    let pid = {
        let api = Api::connect(&daemon);
        let container = api.create_with(&bundle, &stdio).unwrap();
        container.processes[0].system_pid
    };
    assert!(is_listed(&daemon, bundle.id()));

    daemon.kill_hard();
    daemon.restart();
    assert!(is_listed(&daemon, bundle.id()));
    let api = Api::connect(&daemon);
    let container = &api.state(bundle.id()).unwrap()[0];
    assert_eq!((&*container.status, container.processes[0].system_pid), ("running", pid));
    let mut events = api.events();
    let done = daemon.gantry(["exec", bundle.id(), "sh", "-c", "echo from an exec; exit 4"]);
    assert_eq!((done.code(), &*done.stdout), (4, "from an exec\n"), "{done}");

    // Its standard streams have noticed nothing.
    stdio.stdin.write("a line\n");
    assert_eq!(events.exit_of(bundle.id(), "init"), 9);
    assert_eq!(output.finish(SOON), "got a line\n");
    assert!(!is_listed(&daemon, bundle.id()));
    leaks.assert_clean();
}

fn an_exit_during_the_daemons_absence_is_reported(runtime: Runtime) {
    let mut daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().shell("read line; exit 11").build();
    let stdio = StdioFifos::create(&bundle.path().join("io"), "init");
    let pid = Api::connect(&daemon).create_with(&bundle, &stdio).unwrap().processes[0].system_pid;
    let init = gantry_testkit::Process::of(i32::try_from(pid).unwrap()).unwrap();

    daemon.kill_hard();
    stdio.stdin.write("go\n");
    assert!(init.ends_within(SOON));
    daemon.restart();
    let api = Api::connect(&daemon);
    let mut events = api.events_from_the_start();
    let id = bundle.id().to_owned();
    assert_eq!(events.next_key(), ("start-container".to_owned(), id.clone(), String::new(), 0));
    assert_eq!(events.next_key(), ("exit".to_owned(), id.clone(), "init".to_owned(), 11));
    leaks.assert_clean();

    // Once, also after another restart.
    daemon.kill_hard();
    daemon.restart();
    let api = Api::connect(&daemon);
    let mut events = api.events_from_the_start();
    let next = daemon.bundle().args(["true"]).build();
    api.create(create_request(&next)).unwrap();
    let mut exits = 0;
    loop {
        let (kind, container, ..) = events.next_key();
        exits += usize::from(kind == "exit" && container == id);
        if kind == "exit" && container == next.id() {
            break;
        }
    }
    assert_eq!(exits, 1);
}

fn sigterm_leaves_containers_running(runtime: Runtime) {
    let mut daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let pid = Api::connect(&daemon).create(create_request(&bundle)).unwrap().processes[0].system_pid;
    let init = gantry_testkit::Process::of(i32::try_from(pid).unwrap()).unwrap();

    let status = daemon.terminate();
    assert!(status.success(), "SIGTERM is a clean stop: {status}");
    assert!(!daemon.socket().exists(), "the socket goes with its daemon");
    assert!(init.is_alive());

    daemon.restart();
    let api = Api::connect(&daemon);
    assert_eq!(api.state("").unwrap().len(), 1);
    let mut events = api.events();
    api.add_process(exec_request(bundle.id(), "e1", &["true"])).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "e1"), 0);
    api.signal(bundle.id(), "init", 9).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), 137);
    wait_until("an empty list", SOON, || api.state("").unwrap().is_empty());
    leaks.assert_clean();
}

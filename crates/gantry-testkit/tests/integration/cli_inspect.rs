//! `gantry inspect`, `ps -a` and `rm` of containers that have ended: the daemon remembers how, also after its restart.

use crate::support::{Api, SOON, create_request, each_runtime};
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Leaks, Runtime, wait_until};
use serde_json::Value;

each_runtime!(how_it_ended_is_told_also_after_a_restart);

fn inspect(daemon: &Daemon, id: &str) -> Value {
    let done = daemon.gantry(["inspect", id]);
    serde_json::from_str(done.success()).unwrap_or_else(|error| panic!("{error}: {done}"))
}

fn listed(daemon: &Daemon) -> Vec<String> {
    daemon.gantry(["ps", "-aq"]).success().lines().map(str::to_owned).collect()
}

fn run_detached(daemon: &Daemon, bundle: &Bundle) {
    let path = bundle.path().to_str().unwrap();
    daemon.gantry(["run", "-d", "--name", bundle.id(), "--bundle", path]).success();
}

fn wait_for_end(daemon: &Daemon, id: &str) {
    wait_until("the container to end", SOON, || inspect(daemon, id)["container"].is_null());
}

fn how_it_ended_is_told_also_after_a_restart(runtime: Runtime) {
    let mut daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let killed = daemon.bundle().args(["sleep", "1000"]).build();
    run_detached(&daemon, &killed);
    let running = inspect(&daemon, killed.id());
    assert_eq!((&running["container"]["status"], &running["ended"]), (&"running".into(), &Value::Null));
    let pid = running["container"]["processes"][0]["systemPid"].clone();
    daemon.gantry(["kill", "-s", "KILL", killed.id()]).success();
    wait_for_end(&daemon, killed.id());

    let exited = daemon.bundle().shell("seq 1 10000 > /dev/null; exit 3").build();
    let path = exited.path().to_str().unwrap();
    daemon.gantry(["run", "--name", exited.id(), "--bundle", path]).expect_code(3);

    // The daemon tidies up once the exit is told; what becomes of a kill in the middle of it is not the subject here.
    wait_until("an idle state dir", SOON, || !daemon.state_dir().join("@ended").exists());
    daemon.kill_hard();
    daemon.restart();
    let ended = inspect(&daemon, killed.id())["ended"].take();
    assert_eq!((&ended["status"], &ended["signal"]), (&137.into(), &"SIGKILL".into()), "{ended}");
    assert_eq!((&ended["oomKilled"], &ended["systemPid"]), (&false.into(), &pid), "{ended}");
    assert_eq!(ended["bundle"], killed.path().to_str().unwrap());
    for moment in ["startedAt", "endedAt"] {
        assert!(ended[moment].as_str().unwrap().ends_with('Z'), "{ended}");
    }
    let ended = inspect(&daemon, exited.id())["ended"].take();
    assert_eq!((&ended["status"], &ended["signal"]), (&3.into(), &Value::Null), "{ended}");
    for used in ["cpuNanos", "peakMemoryBytes"] {
        assert!(ended[used].as_u64().is_some_and(|used| used > 0), "{ended}");
    }

    let table = daemon.gantry(["ps", "-a"]);
    let row = |id: &str| table.success().lines().find(|line| line.starts_with(id)).unwrap().to_owned();
    assert!(
        row(killed.id()).contains("exited (137) ") && row(exited.id()).contains("exited (3) "),
        "{table}"
    );
    daemon.gantry(["rm", killed.id(), exited.id()]).success();
    assert!(listed(&daemon).is_empty());
    daemon.gantry(["inspect", killed.id()]).expect_code(1);
    leaks.assert_clean();
}

#[test]
fn a_container_that_ran_out_of_memory_says_so() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let bundle = daemon.bundle().shell("a=x; while :; do a=$a$a; done").memory_limit_bytes(16 << 20).build();
    let path = bundle.path().to_str().unwrap();
    daemon.gantry(["run", "--name", bundle.id(), "--bundle", path]).expect_code(137);
    assert_eq!(inspect(&daemon, bundle.id())["ended"]["oomKilled"], true);
    let table = daemon.gantry(["ps", "-a"]);
    assert!(table.success().contains("exited (137, out of memory) "), "{table}");
}

#[test]
fn what_only_the_daemon_remembers_is_listed_and_can_be_removed() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let bundle = daemon.bundle().shell("exit 5").build();
    api.create(create_request(&bundle)).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), 5);

    assert_eq!(listed(&daemon), [bundle.id()]);
    let inspected = inspect(&daemon, bundle.id());
    assert_eq!((&inspected["client"], &inspected["ended"]["status"]), (&Value::Null, &5.into()));
    assert_eq!(daemon.gantry(["rm", bundle.id()]).success().trim(), bundle.id());
    assert!(listed(&daemon).is_empty());
    for command in ["rm", "inspect"] {
        let done = daemon.gantry([command, bundle.id()]);
        done.expect_code(1);
        assert!(done.stderr.starts_with("gantry: there is no container "), "{done}");
    }
}

/// The event log is short, and the memory of what has ended is not.
#[test]
fn what_has_left_the_event_log_is_still_listed() {
    let mut daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn).arg("--retain-count").arg("2"));
    let mut ids = Vec::new();
    for status in 0..6 {
        let api = Api::connect(&daemon);
        let mut events = api.events();
        let bundle = daemon.bundle().shell(&format!("exit {status}")).build();
        api.create(create_request(&bundle)).unwrap();
        assert_eq!(events.exit_of(bundle.id(), "init"), status);
        ids.push(bundle.id().to_owned());
        if status == 3 {
            daemon.restart();
        }
    }
    assert!(Api::connect(&daemon).stored_events(None).iter().all(|event| event.id != ids[0]));
    ids.sort();
    assert_eq!(listed(&daemon), ids);
    let all = daemon.gantry(["ps", "-a"]);
    assert!(all.success().contains("exited (3)") && all.stdout.contains("exited (5)"), "{all}");
}

#[test]
fn run_with_rm_leaves_no_memory_of_it() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let bundle = daemon.bundle().shell("exit 4").build();
    let path = bundle.path().to_str().unwrap();
    daemon.gantry(["run", "--rm", "--name", bundle.id(), "--bundle", path]).expect_code(4);
    daemon.gantry(["inspect", bundle.id()]).expect_code(1);
    assert!(listed(&daemon).is_empty());
}

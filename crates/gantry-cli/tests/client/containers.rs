//! What looks at containers and removes them, with a daemon that keeps no records, as containerd 0.2.

use std::fs;
use std::path::Path;

use super::{Setup, finish, wait_for};

#[test]
fn containers_are_listed_logged_and_removed() {
    let setup = Setup::new();
    let script = "echo out; echo err >&2; exec sleep 60";
    assert_eq!(setup.run(&["run", "-d", "--name", "web", "ROOT", "sh", "-c", script]).status, 0);
    assert_eq!(setup.run(&["run", "--name", "done", "ROOT", "sh", "-c", "exit 3"]).status, 3);
    setup.wait_running("web");

    assert_eq!(setup.run(&["ps", "-q"]).stdout, "web\n");
    assert_eq!(setup.run(&["ps", "-aq"]).stdout, "done\nweb\n");
    let table = setup.run(&["ps", "-a"]).stdout;
    assert!(table.starts_with("ID     STATUS"), "{table}");
    assert!(table.contains("exited (3) "), "{table}");
    let json: serde_json::Value =
        serde_json::from_str(&setup.run(&["ps", "--format", "json"]).stdout).unwrap();
    assert_eq!((&json[0]["id"], &json[0]["status"]), (&"web".into(), &"running".into()));

    let log = Path::new("web/stdout.log");
    wait_for("output", || fs::read(setup.daemon.bundles().join(log)).is_ok_and(|text| text == b"out\n"));
    let logs = setup.run(&["logs", "web"]);
    assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("out\n", "err\n"));
    let logs = setup.run(&["logs", "done"]);
    assert_eq!(logs.status, 1);
    assert!(logs.stderr.contains("it ran in the foreground"), "{logs:?}");

    let inspected: serde_json::Value = serde_json::from_str(&setup.run(&["inspect", "done"]).stdout).unwrap();
    assert_eq!(
        (&inspected["container"], &inspected["ended"]["status"]),
        (&serde_json::Value::Null, &3.into())
    );

    let refused = setup.run(&["rm", "web", "done"]);
    assert_eq!((refused.status, refused.stdout.as_str()), (1, "done\n"));
    assert!(refused.stderr.contains("gantry rm -f web"), "{refused:?}");
    assert_eq!(setup.run(&["rm", "-f", "web"]).stdout, "web\n");
    assert_eq!(setup.run(&["rm", "web"]).status, 1);
    assert!(setup.bundles().is_empty());
}

#[test]
fn logs_are_followed_until_the_end() {
    let setup = Setup::new();
    let script = "echo one; sleep 0.3; echo two; sleep 0.3; printf three";
    setup.run(&["run", "-d", "--name", "web", "ROOT", "sh", "-c", script]);
    let result = finish(setup.spawn(&["logs", "-f", "web"]));
    assert_eq!((result.status, result.stdout.as_str()), (0, "one\ntwo\nthree"));
}

#[test]
fn events_are_told() {
    let setup = Setup::new();
    setup.run(&["run", "--rm", "--name", "a", "ROOT", "true"]);
    setup.run(&["run", "--rm", "--name", "b", "ROOT", "false"]);
    let result = setup.run(&["events", "--stored", "--id", "b", "--format", "json"]);
    let events: Vec<serde_json::Value> =
        result.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 2);
    assert_eq!((&events[0]["type"], &events[1]["type"]), (&"start-container".into(), &"exit".into()));
    assert_eq!((&events[1]["status"], &events[1]["pid"]), (&1.into(), &"init".into()));
    let table = setup.run(&["events", "--stored", "--since", "1h"]).stdout;
    assert_eq!(table.lines().count(), 5, "{table}");
    assert_eq!(setup.run(&["events", "--since", "tomorrow"]).status, 2);
}

#[test]
fn kill_takes_names_and_numbers() {
    let setup = Setup::new();
    for spelling in ["KILL", "SIGKILL", "9", "kill"] {
        setup.run(&["run", "-d", "--name", "web", "ROOT", "sleep", "60"]);
        assert_eq!(setup.run(&["kill", "-s", spelling, "web"]).status, 0);
        wait_for("the end", || !setup.daemon.shared().is_running("web"));
        assert_eq!(setup.run(&["rm", "web"]).status, 0);
    }
    let unknown = setup.run(&["kill", "web"]);
    assert_eq!((unknown.status, unknown.stdout.as_str()), (1, ""));
    assert!(
        unknown.stderr.starts_with("gantry: cannot send SIGTERM to web: container not found\n"),
        "{unknown:?}"
    );
}

#[test]
fn the_demo_root_and_the_version() {
    let setup = Setup::new();
    let version = setup.run(&["version"]);
    assert!(version.stdout.contains("daemon  types.API 0.2.9, revision fake"), "{version:?}");
    // The fake has no root of its own to run in, but the bundle is there.
    setup.run(&["run", "--name", "demo", "true"]);
    let rootfs = setup.daemon.bundles().join("demo/rootfs");
    assert!(rootfs.join("bin/hello").exists());
    assert!(rootfs.join("etc/passwd").exists());
}

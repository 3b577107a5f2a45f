//! Limits, checkpoints and figures: what reaches the daemon, and what is shown of its answer.

use std::fs;

use gantry_api::types::UpdateResource;
use serde_json::{Value, json};

use super::Setup;

fn web(setup: &Setup) {
    let started = setup.run(&["run", "-d", "--name", "web", "ROOT", "sleep", "60"]);
    assert_eq!(started.status, 0, "{started:?}");
    setup.wait_running("web");
}

#[test]
fn limits_are_written_into_the_configuration() {
    let setup = Setup::new();
    let limits = ["--memory", "64m", "--cpus", "0.5", "--pids", "10"];
    let args = [&["run", "--name", "web"], &limits[..], &["ROOT", "true"]].concat();
    assert_eq!(setup.run(&args).status, 0);
    let config = fs::read(setup.daemon.bundles().join("web/config.json")).unwrap();
    let resources = &serde_json::from_slice::<Value>(&config).unwrap()["linux"]["resources"];
    assert_eq!(resources["memory"], json!({ "limit": 64 << 20 }));
    assert_eq!(resources["cpu"], json!({ "quota": 50_000, "period": 100_000 }));
    assert_eq!(resources["pids"], json!({ "limit": 10 }));
    // A bundle of the user's says itself what it may use.
    let refused = setup.run(&["run", "--bundle", "/b", "--memory", "64m"]);
    assert_eq!(refused.status, 2, "{refused:?}");
}

#[test]
fn updates_reach_the_daemon() {
    let setup = Setup::new();
    web(&setup);
    let args =
        ["update", "web", "--memory", "64m", "--memory-swap", "-1", "--cpuset-cpus", "0-1", "--pids", "9"];
    assert_eq!(setup.run(&args).status, 0);
    let expected = UpdateResource {
        memory_limit: 64 << 20,
        memory_swap: u64::MAX,
        cpuset_cpus: "0-1".to_owned(),
        pids_limit: 9,
        ..UpdateResource::default()
    };
    assert_eq!(*setup.daemon.shared().resources.lock().unwrap(), [expected]);
    let nothing = setup.run(&["update", "web"]);
    assert_eq!(nothing.status, 2, "{nothing:?}");
    assert!(nothing.stderr.contains("gantry update web --memory"), "{nothing:?}");
}

#[test]
fn checkpoints_reach_the_daemon() {
    let setup = Setup::new();
    web(&setup);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let create =
        setup.run(&["checkpoint", "create", "--tcp", "--exit", "--checkpoint-dir", path, "web", "one"]);
    assert_eq!((create.status, create.stdout.as_str()), (0, "one\n"), "{create:?}");
    let list = setup.run(&["checkpoint", "ls", "--checkpoint-dir", path, "web"]).stdout;
    assert_eq!(list, "NAME   TCP    UNIX SOCKETS   TERMINAL\none    kept   -              -\n");

    let bundle = tempfile::tempdir().unwrap();
    fs::write(bundle.path().join("config.json"), r#"{"process": {"args": ["true"], "env": []}}"#).unwrap();
    let run = |name: &str| {
        let bundle = bundle.path().to_str().unwrap();
        setup.run(&["run", "--bundle", bundle, "--checkpoint", name, "--checkpoint-dir", path])
    };
    let missing = run("one");
    assert_eq!(missing.status, 125, "{missing:?}");
    assert!(missing.stderr.starts_with("gantry: there is no checkpoint `one` in "), "{missing:?}");
    fs::create_dir(dir.path().join("one")).unwrap();
    assert_eq!(run("one").status, 0);
    let created = setup.daemon.shared().creates.lock().unwrap().pop().unwrap();
    assert_eq!((created.checkpoint.as_str(), created.checkpoint_dir.as_str()), ("one", path));

    assert_eq!(setup.run(&["checkpoint", "rm", "--checkpoint-dir", path, "web", "one"]).stdout, "one\n");
    assert!(setup.daemon.shared().checkpoints.lock().unwrap().is_empty());
}

#[test]
fn figures_are_shown() {
    let setup = Setup::new();
    web(&setup);
    let table = setup.run(&["stats"]).stdout;
    assert!(table.starts_with("ID    CPU") && table.lines().nth(1).unwrap().starts_with("web   "), "{table}");
    let json: Value = serde_json::from_str(&setup.run(&["stats", "--format", "json", "web"]).stdout).unwrap();
    assert_eq!((&json[0]["id"], &json[0]["stats"]["cgroup_stats"]), (&"web".into(), &json!({})));
    let table = setup.run(&["top", "web"]).stdout;
    let mut words = table.lines().nth(1).unwrap().split_whitespace();
    assert_eq!((words.nth(1), words.last()), (Some("init"), Some("60")), "{table}");
    for command in ["stats", "top"] {
        let unknown = setup.run(&[command, "nobody"]);
        assert_eq!(unknown.status, 1);
        assert!(unknown.stderr.starts_with("gantry: there is no running container `nobody`"), "{unknown:?}");
    }
}

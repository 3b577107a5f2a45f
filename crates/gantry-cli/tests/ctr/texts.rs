//! What stands on the screen, to the letter, and the exit status.

use super::{Ended, Setup};

/// The errors of arguments that are missing; nobody is asked for them.
const MISSING: [(&[&str], &str); 13] = [
    (&["containers", "start"], "bundle path cannot be empty"),
    (&["containers", "start", "web"], "bundle path cannot be empty"),
    (&["containers", "start", "", "/b"], "container id cannot be empty"),
    (&["containers", "kill"], "container id cannot be empty"),
    (&["containers", "kill", "-s", "9"], "container id cannot be empty"),
    (&["containers", "pause"], "container id cannot be empty"),
    (&["containers", "resume"], "container id cannot be empty"),
    (&["checkpoints"], "container id cannot be empty"),
    (&["checkpoints", "list"], "container id cannot be empty"),
    (&["checkpoints", "create"], "container id at cannot be empty"),
    (&["checkpoints", "create", "web"], "checkpoint name cannot be empty"),
    (&["checkpoints", "delete"], "container id at cannot be empty"),
    (&["checkpoints", "delete", "web"], "checkpoint name cannot be empty"),
];

#[test]
fn missing_arguments() {
    let setup = Setup::new();
    for (args, text) in MISSING {
        Ended::of(setup.bare(args).output().unwrap()).expect(1, "", &format!("[ctr] {text}\n"));
    }
}

#[test]
fn values_that_are_none() {
    let setup = Setup::new();
    let cases: [(&[&str], &str); 4] = [
        (
            &["containers", "update", "web", "--memory-limit", "64m"],
            "strconv.ParseUint: parsing \"64m\": invalid syntax",
        ),
        (
            &["containers", "kill", "web", "-s", "99999999999"],
            "invalid value \"99999999999\" for flag -signal: value out of range",
        ),
        (
            &["containers", "exec", "-u", "-1", "true"],
            "invalid value \"-1\" for flag -uid: value out of range",
        ),
        (
            &["events", "-t", "yesterday"],
            "parsing time \"yesterday\" as \"2006-01-02T15:04:05.999999999Z07:00\": no such time",
        ),
    ];
    for (args, text) in cases {
        setup.run(args).expect(1, "", &format!("[ctr] {text}\n"));
    }
}

#[test]
fn addresses() {
    let setup = Setup::new();
    let ctr = |args: &[&str]| Ended::of(setup.bare(args).output().unwrap());
    let bad = "[ctr] bad bind address format /run/x.sock, expected proto://address\n";
    ctr(&["--address", "/run/x.sock", "version"]).expect(1, "", bad);
    let nobody = "[ctr] rpc error: code = 14 desc = grpc: the connection is unavailable\n";
    for address in ["unix:///nonexistent/x.sock", "unix://", "tcp://127.0.0.1:1", "carrier://pigeon"] {
        ctr(&["--address", address, "containers"]).expect(1, "", nobody);
    }
    // The environment is the modern client's.
    let mut command = setup.bare(&["--address=unix:///nonexistent/x.sock", "-conn-timeout", "2s", "version"]);
    let ended = Ended::of(command.env("GANTRY_ADDRESS", setup.daemon.address()).output().unwrap());
    ended.expect(1, "", nobody);

    let address = setup.daemon.address();
    let relative = address.replace(&format!("{}/", setup.daemon.bundles().parent().unwrap().display()), "");
    let mut command = setup.bare(&["-address", &relative, "version"]);
    let ended = Ended::of(command.current_dir(setup.daemon.bundles().parent().unwrap()).output().unwrap());
    ended.expect(0, "daemon version 0.2.9 commit: fake\n", "");
}

#[test]
fn both_names_are_the_same_program() {
    let setup = Setup::new();
    let mut command = std::process::Command::new(setup.path("docker-containerd-ctr"));
    command.args(["--address", &setup.daemon.address(), "version"]);
    Ended::of(command.output().unwrap()).expect(0, "daemon version 0.2.9 commit: fake\n", "");
    let version = Ended::of(setup.bare(&["--version"]).output().unwrap());
    assert!(version.stdout.starts_with("ctr version 0.2.9"), "{version:?}");
}

#[test]
fn containers_are_listed_by_id() {
    let setup = Setup::new();
    let header = "ID                  PATH                STATUS              PROCESSES\n";
    setup.run(&["containers"]).expect(0, header, "");
    let bundle = setup.bundle("b", "sleep 60");
    for id in ["two", "one"] {
        setup.run(&["containers", "start", id, &bundle]).expect(0, "", "");
    }
    let width = (bundle.len() + 3).max(20);
    let header = format!("{:<20}{:<width$}{:<20}PROCESSES\n", "ID", "PATH", "STATUS");
    let row = |id: &str| format!("{id:<20}{bundle:<width$}{:<20}init\n", "running");
    setup.run(&["containers"]).expect(0, &format!("{header}{}{}", row("one"), row("two")), "");
    setup.run(&["containers", "two"]).expect(0, &format!("{header}{}", row("two")), "");
    setup.run(&["containers", "list", "one"]).expect(0, &format!("{header}{}", row("one")), "");
    let gone = "[ctr] rpc error: code = 2 desc = containerd: container not found\n";
    for args in [&["containers", "nobody"][..], &["state", "nobody"], &["containers", "stats"]] {
        setup.run(args).expect(1, "", gone);
    }
}

#[test]
fn failed_starts() {
    let setup = Setup::new();
    let bundle = setup.bundle("b", "sleep 60");
    let start = |args: &[&str]| setup.run(&[&["containers", "start", "web", &bundle], args].concat());
    let text = "[ctr] rpc error: code = 2 desc = oci runtime error: a \"cause\" <here>\n";
    for attached in [&["-a"][..], &[]] {
        let runtime = ["-r", "fail:oci runtime error: a \"cause\" <here>"];
        start(&[&runtime, attached].concat()).expect(1, "", text);
        assert!(setup.temporary_files().is_empty());
    }
    start(&[]).expect(0, "", "");
    start(&[]).expect(1, "", "[ctr] rpc error: code = 6 desc = mkdir /x/web: file exists\n");
    let missing =
        format!("[ctr] open {}/none/config.json: no such file or directory\n", setup.folder.path().display());
    setup.run(&["containers", "start", "-a", "two", &setup.path_text("none")]).expect(1, "", &missing);
}

#[test]
fn a_container_with_a_terminal_needs_one() {
    let setup = Setup::new();
    let bundle = setup.bundle("b", "true");
    let config = setup.path("b").join("config.json");
    std::fs::write(&config, r#"{"process": {"terminal": true, "args": ["true"], "env": []}}"#).unwrap();
    let text = "[ctr] inappropriate ioctl for device\n";
    setup.run(&["containers", "start", "-a", "web", &bundle]).expect(1, "", text);
    setup.run(&["containers", "exec", "--id", "web", "--pid", "e", "-a", "-t", "true"]).expect(1, "", text);
    assert!(setup.daemon.shared().creates.lock().unwrap().is_empty());
    assert!(setup.temporary_files().is_empty());
}

#[test]
fn mistakes_show_the_help() {
    let setup = Setup::new();
    let mistake = setup.run(&["containers", "start", "web", "/b", "--bogus"]);
    assert_eq!((mistake.status, &*mistake.stderr), (1, "[ctr] flag provided but not defined: -bogus\n"));
    let help = setup.run(&["containers", "start", "--help"]);
    assert_eq!(help.status, 0);
    assert_eq!(mistake.stdout, format!("Incorrect Usage.\n\n{}", help.stdout));
    setup.run(&["bogus"]).expect(3, "", "No help topic for 'bogus'\n");
}

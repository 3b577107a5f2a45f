//! Every command that is not attached, its output to the letter.

use super::{Ctr, NOT_FOUND, expect, list};
use crate::support::{Api, SOON};
use gantry_testkit::{Leaks, wait_until};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn version() {
    let ctr = Ctr::new();
    let done = ctr.run(&["version"]);
    let version = done.success().strip_prefix("daemon version ").unwrap();
    let (numbers, commit) = version.split_once(" commit: ").unwrap();
    assert!(numbers.split('.').filter_map(|number| number.parse::<u32>().ok()).count() == 3, "{done}");
    assert!(commit.ends_with('\n') && commit.lines().count() == 1, "{done}");
}

#[test]
fn containers_come_and_go_in_the_list() {
    let ctr = Ctr::new();
    let leaks = Leaks::snapshot(ctr.daemon.scratch());
    let mut events = Api::connect(&ctr.daemon).events();
    for args in [&["containers"][..], &["containers", "list"], &["--debug", "containers"]] {
        expect(&ctr.run(args), 0, &list(&[]), "");
    }
    let (one, two) = (ctr.sleeper(), ctr.sleeper());
    assert!(!ctr.has_left_folders());
    let both = list(&[(&one, "running", "init"), (&two, "running", "init")]);
    expect(&ctr.run(&["containers"]), 0, &both, "");
    let second = list(&[(&two, "running", "init")]);
    expect(&ctr.run(&["containers", two.id()]), 0, &second, "");
    expect(&ctr.run(&["containers", "list", two.id()]), 0, &second, "");
    expect(&ctr.run(&["containers", "nobody"]), 1, "", NOT_FOUND);

    expect(&ctr.exec(&one, "more", &[], &["sleep", "1000"]), 0, "", "");
    let done = ctr.run(&["containers", one.id()]);
    let processes = done.success().lines().nth(1).unwrap().split_whitespace().last().unwrap().to_owned();
    assert!(["init,more", "more,init"].contains(&&*processes), "{done}");

    expect(&ctr.run(&["containers", "kill", "--pid", "more", one.id()]), 0, "", "");
    assert_eq!(events.exit_of(one.id(), "more"), 128 + 15);
    expect(&ctr.run(&["containers", "kill", one.id(), "-s", "9"]), 0, "", "");
    assert_eq!(events.exit_of(one.id(), "init"), 128 + 9);
    expect(&ctr.run(&["containers", "kill", two.id(), "--signal=0xa", "-p", "init"]), 0, "", "");
    expect(&ctr.run(&["containers", "kill", two.id(), "--signal", "9"]), 0, "", "");
    assert_eq!(events.exit_of(two.id(), "init"), 128 + 9);
    expect(&ctr.run(&["containers"]), 0, &list(&[]), "");
    leaks.assert_clean();
}

#[test]
fn kill_tells_what_it_cannot_do() {
    let ctr = Ctr::new();
    expect(&ctr.run(&["containers", "kill", "nobody"]), 1, "", NOT_FOUND);
    let bundle = ctr.sleeper();
    let text = "[ctr] rpc error: code = 2 desc = containerd: process not found for container\n";
    expect(&ctr.run(&["containers", "kill", bundle.id(), "-p", "nobody"]), 1, "", text);
    let text = "[ctr] rpc error: code = 2 desc = invalid argument\n";
    expect(&ctr.run(&["containers", "kill", bundle.id(), "-s", "1000"]), 1, "", text);
}

#[test]
fn a_start_that_fails_has_the_daemons_words() {
    let ctr = Ctr::new();
    let bundle = ctr.sleeper();
    let done = ctr.start(&bundle, &[]);
    let exists = format!(
        "rpc error: code = 6 desc = mkdir {}/{}: file exists",
        ctr.daemon.state_dir().display(),
        bundle.id()
    );
    expect(&done, 1, "", &format!("[ctr] {exists}\n"));
    let done = ctr.run(&["containers", "start", "other", "/nonexistent"]);
    let text = "[ctr] rpc error: code = 5 desc = open /nonexistent/config.json: no such file or directory\n";
    expect(&done, 1, "", text);
    let done =
        ctr.run(&["containers", "start", "other", bundle.path().to_str().unwrap(), "-r", "no-such-runtime"]);
    assert!(done.stderr.starts_with("[ctr] rpc error: code = 2 desc = "), "{done}");
    assert!(done.stderr.contains("no-such-runtime not installed on system"), "{done}");
    let bundle = ctr.daemon.bundle().args(["no-such-command"]).build();
    for flags in [&[][..], &["-a"]] {
        let done = ctr.start(&bundle, flags);
        assert!(done.stderr.contains("[ctr] rpc error: code = 2 desc = oci runtime error: "), "{done}");
        assert!(done.stderr.contains("no-such-command"), "{done}");
        done.expect_code(1);
    }
    assert!(!ctr.has_left_folders());
}

#[test]
fn a_container_runs_with_runc_unless_told_otherwise() {
    let ctr = Ctr::new();
    let bundle = ctr.daemon.bundle().args(["sleep", "1000"]).build();
    let start = ["containers", "start", "--label", "a=b", bundle.id(), bundle.path().to_str().unwrap()];
    expect(&ctr.run(&start), 0, "", "");
    let state = &Api::connect(&ctr.daemon).state(bundle.id()).unwrap()[0];
    assert_eq!((&*state.runtime, &*state.labels), ("runc", &["a=b".to_owned()][..]));
    let mut events = Api::connect(&ctr.daemon).events();
    expect(&ctr.run(&["containers", "kill", bundle.id(), "-s", "9"]), 0, "", "");
    assert_eq!(events.exit_of(bundle.id(), "init"), 137);
}

#[test]
fn state_is_one_object_without_a_newline() {
    let ctr = Ctr::new();
    let bundle = ctr.sleeper();
    let all = ctr.run(&["state"]).success().to_owned();
    assert!(all.starts_with("{\"containers\":[{\"id\":\"") && all.ends_with('}'), "{all}");
    let state: serde_json::Value = serde_json::from_str(&all).unwrap();
    let container = &state["containers"][0];
    assert_eq!(container["id"], bundle.id());
    assert_eq!(container["bundlePath"], bundle.path().to_str().unwrap());
    assert_eq!(
        (&container["status"], &container["runtime"]),
        (&"running".into(), &ctr.runtime()[1].clone().into())
    );
    assert_eq!(container["processes"][0]["args"], serde_json::json!(["sleep", "1000"]));
    assert!(container["processes"][0]["systemPid"].as_u64() > Some(0));
    assert_eq!(container["pids"], serde_json::json!([container["processes"][0]["systemPid"]]));
    // What is zero or empty is left out.
    assert_eq!((container.get("labels"), container["processes"][0].get("terminal")), (None, None));
    assert!(state["machine"]["memory"].as_u64() > Some(0) && state["machine"]["cpus"].as_u64() > Some(0));

    let one: serde_json::Value =
        serde_json::from_str(ctr.run(&["containers", "state", bundle.id()]).success()).unwrap();
    assert_eq!(one["containers"], state["containers"]);
    expect(&ctr.run(&["state", "nobody"]), 1, "", NOT_FOUND);
}

#[test]
fn pause_and_resume_are_events() {
    let ctr = Ctr::new();
    let mut events = Api::connect(&ctr.daemon).events();
    let bundle = ctr.sleeper();
    assert_eq!(events.next().r#type, "start-container");
    // 0.2 said running in any case; the protocol always had a word for it.
    for (command, status) in [("pause", "paused"), ("resume", "running")] {
        expect(&ctr.run(&["containers", command, bundle.id()]), 0, "", "");
        assert_eq!(events.next_key(), (command.to_owned(), bundle.id().to_owned(), String::new(), 0));
        expect(&ctr.run(&["containers"]), 0, &list(&[(&bundle, status, "init")]), "");
        expect(&ctr.run(&["containers", command, "nobody"]), 1, "", NOT_FOUND);
    }
}

#[test]
fn events_are_rows_and_watch_is_go() {
    let ctr = Ctr::new();
    let mut api_events = Api::connect(&ctr.daemon).events();
    let bundle = ctr.daemon.bundle().shell("exit 3").build();
    let mut rows = ctr.command(&["events"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(rows.stdout.take().unwrap()).lines().map(Result::unwrap);
    // The header tells that the daemon has subscribed us.
    let header = format!("{:<31}{:<31}{:<31}{:<31}STATUS", "TIME", "TYPE", "ID", "PID");
    assert_eq!(lines.next().unwrap(), header);

    expect(&ctr.start(&bundle, &[]), 0, "", "");
    let width = (bundle.id().len() + 1).max(31);
    let row =
        |kind: &str, pid: &str, status: u32| format!("{kind:<31}{:<width$}{pid:<31}{status}", bundle.id());
    let expected = [row("start-container", "", 0), row("exit", "init", 3)];
    let mut start = String::new();
    for expected in &expected {
        let line = lines.next().unwrap();
        assert_eq!(&line[31..], expected);
        let time = line[..31].trim_end();
        assert!(time.len() > 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{line}");
        if start.is_empty() {
            time.clone_into(&mut start);
        }
    }
    rows.kill().unwrap();
    rows.wait().unwrap();
    assert_eq!(api_events.exit_of(bundle.id(), "init"), 3);

    // What has happened after the start, and then what happens.
    let mut rows = ctr.command(&["events", "--timestamp", &start]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(rows.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), header);
    assert_eq!(&lines.next().unwrap()[31..], &expected[1]);
    rows.kill().unwrap();
    rows.wait().unwrap();
}

#[test]
fn watch_prints_events_of_one_container() {
    let ctr = Ctr::new();
    expect(&ctr.run(&["containers", "watch", "nobody"]), 1, "", NOT_FOUND);
    let (bundle, other) = (ctr.sleeper(), ctr.sleeper());
    let mut watch =
        ctr.command(&["containers", "watch", bundle.id()]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    // Nothing tells when it has subscribed, so there is one event after another until one is seen.
    let (sender, seen) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let first = lines.next().unwrap();
        sender.send(()).unwrap();
        [first, lines.next().unwrap()]
    });
    wait_until("an event", SOON, || {
        ctr.run(&["containers", "pause", other.id()]).success();
        ctr.run(&["containers", "resume", other.id()]).success();
        ctr.run(&["containers", "pause", bundle.id()]).success();
        ctr.run(&["containers", "resume", bundle.id()]).success();
        seen.try_recv().is_ok()
    });
    ctr.run(&["containers", "pause", bundle.id()]).success();
    for line in reader.join().unwrap() {
        let start = format!("\", Id:\"{}\", Status:0x0, Pid:\"\", Timestamp:", bundle.id());
        let rest = line.strip_prefix("&types.Event{Type:\"").unwrap();
        let rest = rest.strip_prefix("pause").or_else(|| rest.strip_prefix("resume")).unwrap();
        assert!(rest.starts_with(&start), "{line}");
    }
    watch.kill().unwrap();
    watch.wait().unwrap();
}

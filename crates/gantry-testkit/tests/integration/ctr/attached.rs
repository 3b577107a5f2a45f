//! `start -a` and `exec -a`: the process's own stdio and status.

use super::{Ctr, expect};
use crate::support::{Api, SOON};
use gantry_testkit::{Leaks, finish};
use std::io::{Read, Write};
use std::process::{Child, Stdio};

fn spawn(command: &mut std::process::Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for a line that the container says first.
fn wait_for_line(child: &mut Child, line: &str) {
    let mut first = vec![0; line.len()];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(String::from_utf8_lossy(&first), line);
}

/// What an attached ctr ended with.
fn ended(child: Child) -> (i32, String, String) {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn output_and_status_are_the_containers_own() {
    let ctr = Ctr::new();
    let leaks = Leaks::snapshot(ctr.daemon.scratch());
    let bundle = ctr.daemon.bundle().shell("echo out; echo err >&2; exit 7").build();
    for flags in [["-a"], ["--attach"], ["-attach=true"]] {
        expect(&ctr.start(&bundle, &flags), 7, "out\n", "err\n");
    }
    expect(&ctr.start(&bundle, &["--attach=false"]), 0, "", "");
    let much = ctr.daemon.bundle().shell("seq 1 40000").build();
    let done = ctr.start(&much, &["-a"]);
    assert!(done.success().starts_with("1\n2\n") && done.stdout.ends_with("39999\n40000\n"));
    assert_eq!(done.stdout.lines().count(), 40_000);
    let killed = ctr.daemon.bundle().shell("echo up; sleep 1000").build();
    let mut attached = spawn(&mut ctr.start_command(&killed, &["-a"]));
    wait_for_line(&mut attached, "up\n");
    expect(&ctr.run(&["containers", "kill", killed.id(), "-s", "9"]), 0, "", "");
    assert_eq!(ended(attached), (137, String::new(), String::new()));
    assert!(!ctr.has_left_folders());
    leaks.assert_clean();
}

#[test]
fn input_reaches_the_process_and_ends() {
    let ctr = Ctr::new();
    let bundle = ctr.daemon.bundle().shell("tr a-z A-Z").build();
    let mut attached = spawn(&mut ctr.start_command(&bundle, &["-a"]));
    attached.stdin.take().unwrap().write_all(b"some words\n").unwrap();
    assert_eq!(ended(attached), (0, "SOME WORDS\n".to_owned(), String::new()));

    // The end of our input is not the end of ctr.
    let bundle = ctr.daemon.bundle().shell("cat; echo end; exit 2").build();
    expect(&ctr.start(&bundle, &["-a"]), 2, "end\n", "");

    let bundle = ctr.sleeper();
    let mut attached = spawn(&mut ctr.exec_command(&bundle, "e1", &["-a"], &["wc", "-c"]));
    attached.stdin.take().unwrap().write_all(&vec![b'x'; 300_000]).unwrap();
    assert_eq!(ended(attached), (0, "300000\n".to_owned(), String::new()));
}

#[test]
fn an_exec_has_what_it_was_given_and_no_more() {
    let ctr = Ctr::new();
    let leaks = Leaks::snapshot(ctr.daemon.scratch());
    let bundle = ctr.sleeper();
    let sh = |process: &str, flags: &[&str], script: &str| {
        ctr.exec(&bundle, process, &[&["-a"], flags].concat(), &["sh", "-c", script])
    };
    expect(&sh("e1", &[], "echo out; echo err >&2; exit 5"), 5, "out\n", "err\n");
    expect(
        &sh("e1", &[], "pwd; id -u; id -g; env | grep -v -e SHLVL -e PWD | sort"),
        0,
        "/\n0\n0\nHOME=/root\nPATH=/bin\n",
        "",
    );
    let flags = ["--cwd", "/tmp", "-u", "65534", "--gid=65533", "--env", "A=b c"];
    expect(&sh("e1", &flags, "pwd; id -u; id -g; echo $A"), 0, "/tmp\n65534\n65533\nb c\n", "");
    expect(&sh("e1", &[], "grep CapEff /proc/self/status"), 0, "CapEff:\t0000000000000000\n", "");
    // Its flags end where its command begins.
    let done = ctr.exec(&bundle, "e1", &["-a"], &["echo", "-a", "--id", "x"]);
    expect(&done, 0, "-a --id x\n", "");
    let done = ctr.exec(&bundle, "e1", &["-a"], &["--", "echo", "--", "x"]);
    expect(&done, 0, "-- x\n", "");

    let done = ctr.exec(&bundle, "e1", &["-a"], &["no-such-command"]);
    assert!(done.stderr.contains("[ctr] rpc error: code = 2 desc = "), "{done}");
    assert!(done.stderr.contains("no-such-command"), "{done}");
    done.expect_code(1);
    let exec = |args: &[&str]| ctr.run(&[&["containers", "exec"], args].concat());
    expect(&exec(&["true"]), 1, "", "[ctr] rpc error: code = 2 desc = container id cannot be empty\n");
    let no_pid = "[ctr] rpc error: code = 2 desc = process id cannot be empty\n";
    expect(&exec(&["--id", bundle.id(), "true"]), 1, "", no_pid);
    let nobody = exec(&["--id", "nobody", "--pid", "e1", "true"]);
    expect(&nobody, 1, "", super::NOT_FOUND);

    // Without -a it is left alone.
    let mut events = Api::connect(&ctr.daemon).events();
    expect(&ctr.exec(&bundle, "e2", &[], &["sh", "-c", "echo unheard; exit 6"]), 0, "", "");
    assert_eq!(events.exit_of(bundle.id(), "e2"), 6);
    expect(&ctr.run(&["containers", "kill", bundle.id(), "-s", "9"]), 0, "", "");
    assert_eq!(events.exit_of(bundle.id(), "init"), 137);
    assert!(!ctr.has_left_folders());
    leaks.assert_clean();
}

#[test]
fn a_daemon_that_ends_hangs_up() {
    let mut ctr = Ctr::new();
    let bundle = ctr.daemon.bundle().shell("echo up; read line; echo $line; exit 4").build();
    for hard in [true, false] {
        let mut attached = spawn(&mut ctr.start_command(&bundle, &["-a"]));
        wait_for_line(&mut attached, "up\n");
        let stdin = attached.stdin.take();
        if hard {
            ctr.daemon.kill_hard();
        } else {
            ctr.daemon.terminate();
        }
        assert_eq!(ended(attached), (129, String::new(), String::new()));
        drop(stdin);
        assert!(!ctr.has_left_folders());
        // The container did not notice.
        ctr.daemon.restart();
        let mut events = Api::connect(&ctr.daemon).events();
        expect(&ctr.run(&["containers", "kill", bundle.id(), "-s", "9"]), 0, "", "");
        assert_eq!(events.exit_of(bundle.id(), "init"), 137);
    }
    let nobody = "[ctr] rpc error: code = 14 desc = grpc: the connection is unavailable\n";
    ctr.daemon.terminate();
    expect(&ctr.run(&["containers"]), 1, "", nobody);
}

#[test]
fn an_exit_is_the_one_of_this_start() {
    let ctr = Ctr::new();
    let mut bundle = ctr.daemon.bundle().build();
    // Each start follows hard upon the exit before.
    for status in 0..20 {
        let script = format!("exit {status}");
        bundle.rewrite(|config| config["process"]["args"] = serde_json::json!(["sh", "-c", script]));
        expect(&finish(&mut ctr.start_command(&bundle, &["-a"]), SOON), status, "", "");
    }
}

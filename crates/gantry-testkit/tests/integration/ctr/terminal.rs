//! Terminals under a person's hands.

use super::{Ctr, expect};
use crate::support::{Api, SOON};
use gantry_testkit::{Leaks, Tmux};
use std::process::Command;

/// A shell of our own around a command, so that its end and the state of the terminal can be seen.
fn in_a_shell(ctr: &Ctr, command: &Command) -> Tmux {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let line = words.iter().map(|word| format!("'{}'", word.to_str().unwrap())).collect::<Vec<_>>().join(" ");
    let script = format!(
        "export TMPDIR='{}'; {line}; echo ended with $?; stty -a | grep -o -e '-\\?icanon'; read x",
        ctr.daemon.temporary_files().display()
    );
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script);
    Tmux::start(ctr.daemon.scratch(), &shell)
}

fn use_the_terminal(tmux: &Tmux) {
    tmux.wait_for_text("ready>", SOON);
    tmux.send_line("stty size");
    tmux.wait_for_text("24 80", SOON);
    tmux.resize(100, 30);
    tmux.send_line("sleep 0.3; stty size");
    tmux.wait_for_text("30 100", SOON);
    // Ctrl-C is for what runs in the container.
    tmux.send_line("clear; echo slee''ping; sleep 1000");
    tmux.wait_for_text("sleeping", SOON);
    tmux.send_keys(&["C-c"]);
    tmux.wait_for_text("^C", SOON);
    tmux.send_line("clear; echo still $((40 + 2))");
    tmux.wait_for_text("still 42", SOON);
    tmux.send_line("exit 9");
    tmux.wait_for_text("ended with 9\nicanon", SOON);
}

#[test]
fn a_container_with_a_terminal() {
    let ctr = Ctr::new();
    let leaks = Leaks::snapshot(ctr.daemon.scratch());
    let bundle = ctr.daemon.bundle().args(["sh"]).env("PS1", "ready> ").terminal(true).build();
    let tmux = in_a_shell(&ctr, &ctr.start_command(&bundle, &["--attach"]));
    use_the_terminal(&tmux);
    drop(tmux);
    leaks.assert_clean();
}

#[test]
fn an_exec_with_a_terminal() {
    let ctr = Ctr::new();
    let bundle = ctr.sleeper();
    let leaks = Leaks::snapshot(ctr.daemon.scratch());
    let flags = ["-t", "-a", "--env", "PS1=ready> "];
    let exec = ctr.exec_command(&bundle, "shell", &flags, &["sh"]);
    let tmux = in_a_shell(&ctr, &exec);
    use_the_terminal(&tmux);
    drop(tmux);
    leaks.assert_clean();
    let mut events = Api::connect(&ctr.daemon).events();
    expect(&ctr.run(&["containers", "kill", bundle.id(), "-s", "9"]), 0, "", "");
    assert_eq!(events.exit_of(bundle.id(), "init"), 137);
}

#[test]
fn a_start_that_fails_gives_the_terminal_back() {
    let ctr = Ctr::new();
    let bundle = ctr.daemon.bundle().args(["no-such-command"]).terminal(true).build();
    let tmux = in_a_shell(&ctr, &ctr.start_command(&bundle, &["-a"]));
    tmux.wait_for_text("ended with 1\nicanon", SOON);
    assert!(tmux.screen().contains("[ctr] rpc error: code = 2 desc = "), "{}", tmux.screen());
}

//! `gantry run -it` under a person's hands.

use crate::support::{SOON, each_runtime};
use gantry_testkit::{Daemon, DaemonOptions, Leaks, Runtime, Tmux};

each_runtime!(a_shell_in_a_terminal);

fn a_shell_in_a_terminal(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let bundle = daemon.bundle().args(["sh"]).env("PS1", "ready> ").terminal(true).build();
    let leaks = Leaks::snapshot(daemon.scratch());
    let mut run = daemon.client();
    run.args(["run", "--rm", "-it", "--bundle"]).arg(bundle.path());
    let tmux = Tmux::start(daemon.scratch(), &run);
    tmux.wait_for_text("ready>", SOON);

    tmux.send_line("stty size");
    tmux.wait_for_text("24 80", SOON);
    tmux.resize(100, 30);
    tmux.send_line("sleep 0.3; stty size");
    tmux.wait_for_text("30 100", SOON);

    // Ctrl-C ends what runs in the foreground, and neither the shell nor the client. It is the sleeper itself that
    // says it is there: the shell says so too early, before it has given it the terminal.
    tmux.send_line("clear; sh -c \"echo slee''ping; exec sleep 1000\"");
    tmux.wait_for_text("sleeping", SOON);
    tmux.send_keys(&["C-c"]);
    tmux.wait_for_text("^C", SOON);
    tmux.send_line("echo still $((40 + 2))");
    tmux.wait_for_text("still 42", SOON);

    // Ctrl-D on an empty line ends the shell with the last status.
    tmux.send_line("sh -c \"echo la''st; exit 5\"");
    tmux.wait_for_text("last\nready>", SOON);
    tmux.send_keys(&["C-d"]);
    assert_eq!(tmux.wait_for_exit(SOON), 5, "{}", tmux.screen());
    drop(tmux);
    leaks.assert_clean();
}

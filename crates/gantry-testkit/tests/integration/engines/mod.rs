//! Other engines on `gantry-runtime`: Debian's containerd 1.6 and podman run containers with it as with runc.

mod containerd;
mod podman;

use crate::support::SOON;
use gantry_testkit::{Scratch, Tmux};
use std::process::Command;
use std::sync::Arc;

/// Runs an engine's command in a terminal; its container has a shell whose prompt is `ready> `, and a terminal too.
fn has_a_terminal(scratch: &Arc<Scratch>, run: &Command) {
    let tmux = Tmux::start(scratch, run);
    tmux.wait_for_text("ready>", SOON);
    tmux.send_line("stty size; test -t 0 && echo on a termi''nal");
    tmux.wait_for_text("24 80\non a terminal", SOON);
    tmux.send_line("exit 5");
    assert_eq!(tmux.wait_for_exit(SOON), 5, "{}", tmux.screen());
}

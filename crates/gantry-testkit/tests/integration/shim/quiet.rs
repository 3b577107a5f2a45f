//! A shim that only waits does not run at all.

use super::{daemon, fifos, run_with, status_field};
use crate::support::{Api, exec_request, host_process, shim_of};
use gantry_api::types::{AddProcessRequest, CreateContainerRequest};
use gantry_testkit::Process;
use std::thread;
use std::time::Duration;

/// Long enough for any timer that a program could have forgotten.
const PERIOD: Duration = Duration::from_secs(4);

/// How often the kernel has taken the processor from it, or given it back.
fn switches(process: &Process) -> [u64; 2] {
    ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"].map(|field| status_field(process, field))
}

#[test]
fn nothing_wakes_a_shim_that_only_waits() {
    let daemon = daemon();
    let api = Api::connect(&daemon);
    let plain = daemon.bundle().args(["sleep", "1000"]).build();
    let streams = daemon.bundle().args(["sleep", "1000"]).build();
    let terminal = daemon.bundle().args(["sleep", "1000"]).terminal(true).build();
    let logged = daemon.bundle().shell("echo hello; printf 'half a line'; exec sleep 1000").build();
    let unread = daemon.bundle().args(["yes"]).build();
    let unread_terminal = daemon.bundle().args(["yes"]).terminal(true).build();

    let fifo = |bundle| run_with(&api, bundle, &fifos(bundle, "init"));
    let log = format!("gantry-log://{}", logged.path().join("log").display());
    let request = CreateContainerRequest { stdout: log, ..crate::support::create_request(&logged) };
    let with_log = host_process(api.create(request).unwrap().processes[0].system_pid);
    let stdio = fifos(&plain, "e1");
    let (stdin, stdout) = (stdio.stdin.text(), stdio.stdout.text());
    let init = api.run(&plain);
    let request = exec_request(plain.id(), "e1", &["sleep", "1000"]);
    let exec = host_process(api.add_process(AddProcessRequest { stdin, stdout, ..request }).unwrap());
    let processes =
        [init, exec, fifo(&streams), fifo(&terminal), with_log, fifo(&unread), fifo(&unread_terminal)];
    let shims = processes.each_ref().map(shim_of);

    // What begins has to come to rest: a client that does not read is waited for in steps.
    let settled = || {
        let before = shims.each_ref().map(switches);
        thread::sleep(Duration::from_millis(700));
        before == shims.each_ref().map(switches)
    };
    gantry_testkit::wait_until("shims at rest", crate::support::SOON, settled);
    let before = shims.each_ref().map(switches);
    thread::sleep(PERIOD);
    for (shim, before) in shims.iter().zip(before) {
        assert_eq!(switches(shim), before, "{shim:?} was woken");
    }
}

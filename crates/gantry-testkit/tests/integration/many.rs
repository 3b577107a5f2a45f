//! A thousand containers, one after another.

use crate::support::{Api, SOON, create_request};
use gantry_testkit::{Daemon, DaemonOptions, Leaks, Runtime, wait_until};

const STARTS: usize = 1000;
/// What is opened once and kept has been opened by then.
const WARM_UP: usize = 20;

#[test]
fn a_thousand_starts_leave_nothing() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["true"]).build();
    let mut run = |times: usize| {
        for _ in 0..times {
            // The same id each time: an exit is told only when the id is free again.
            api.create(create_request(&bundle)).unwrap();
            assert_eq!(events.exit_of(bundle.id(), "init"), 0);
        }
    };
    run(WARM_UP);
    leaks.assert_clean();
    let before = daemon.open_fds().len();
    run(STARTS);
    leaks.assert_clean();
    // The last shim's process may still be being reaped.
    wait_until("as many open files as before", SOON, || daemon.open_fds().len() <= before);
}

//! The life of a container from a client in another language.

use crate::support::{Python, each_runtime};
use gantry_testkit::{Daemon, DaemonOptions, Leaks, Runtime, finish};
use std::time::Duration;

each_runtime!(the_life_of_a_container_from_python);

const TIMEOUT: Duration = Duration::from_secs(60);

fn the_life_of_a_container_from_python(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().shell("read line; echo got $line; exit 3").build();
    let mut client = Python::with_stubs(daemon.scratch()).script("lifecycle.py");
    client.arg("--address").arg(daemon.address()).arg("--bundle").arg(bundle.path());
    let done = finish(client.args(["--id", bundle.id()]), TIMEOUT);
    assert!(done.success().ends_with("ok\n"), "{done}");
    leaks.assert_clean();
}

//! Faults from outside: disks without room, limits of the system, clocks, stopped processes, runtimes that do not do what they
//! are asked for. docs/reliability.md has the answer to each. What needs a fault inside of a program is in `failpoints`.

mod clocks;
mod disks;
mod limits;
mod runtimes;
mod stopped;

use gantry_testkit::{Daemon, DaemonOptions, Runtime};

fn daemon() -> Daemon {
    Daemon::start(DaemonOptions::new(Runtime::BuiltIn))
}

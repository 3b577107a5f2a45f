//! Faults from outside: full disks, no descriptors, clocks that jump, processes that are stopped, runtimes that lie. What
//! was promised holds, or a clear error says what does not; and when the fault is over, everything goes on.

mod clocks;
mod disks;
mod lies;
mod limits;
mod runtimes;
mod stopped;

use crate::support::{Api, Events};
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Process, Runtime};
use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

fn daemon() -> Daemon {
    Daemon::start(DaemonOptions::new(Runtime::BuiltIn))
}

/// Ends with this status when it is asked to.
fn ends_with(status: u32) -> String {
    format!("trap 'exit {status}' TERM; while :; do sleep 0.1; done")
}

/// Waits for the exits of these containers and insists that the log tells each once, with its status.
#[track_caller]
fn assert_told_once(api: &Api, events: &mut Events, expected: &BTreeMap<String, u32>) {
    let mut told = BTreeMap::new();
    while told.len() < expected.len() {
        let (id, status) = events.next_exit();
        assert_eq!(told.insert(id.clone(), status), None, "{id} is told twice");
    }
    assert_eq!(&told, expected);
    let stored = api.stored_events(None);
    crate::support::assert_starts_and_exits_match(&stored);
    let exits = stored.iter().filter(|event| event.r#type == "exit" && expected.contains_key(&event.id));
    assert_eq!(exits.count(), expected.len(), "{}", crate::support::shown(&stored));
}

/// A daemon that works makes, runs and forgets a container.
#[track_caller]
fn assert_works(api: &Api, bundle: &Bundle) {
    let mut events = api.events();
    api.run_short(bundle);
    assert_eq!(events.exit_of(bundle.id(), "init"), 0);
}

/// A process that has nothing to do with anything.
struct Stranger(Child);

impl Stranger {
    fn start() -> Self {
        Self(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// A zombie does not live.
    fn is_alive(&self) -> bool {
        Process::of(i32::try_from(self.pid()).unwrap()).is_some_and(|process| process.is_alive())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! `events`: the resource usage of a container, in runc's form, once or again and again until it stops.

use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::args::Events;
use crate::cgroup::stats::Stats;
use crate::commands::print;
use crate::error::{Error, Result};
use crate::exit_code::ExitCode;
use crate::store::{Status, Store};

#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    data: Stats,
}

/// Runs the command.
pub(crate) fn run(store: &Store, args: &Events) -> Result<ExitCode> {
    let container = store.load(&args.id)?;
    let cgroup = container.cgroup()?;
    let mut status = container.status()?;
    if status == Status::Stopped {
        return Err(Error::WrongStatus { action: "measure", id: args.id.to_string(), status });
    }
    while status != Status::Stopped {
        let event = Event { kind: "stats", id: args.id.as_str(), data: cgroup.stats() };
        print(&serde_json::to_string(&event).map_err(|e| Error::Output(e.into()))?)?;
        if args.stats {
            break;
        }
        thread::sleep(Duration::from_secs(args.interval.max(1).into()));
        status = container.status()?;
    }
    Ok(ExitCode::SUCCESS)
}

//! `kill`: a signal for a container's first process, or for all of them.

use crate::args::Kill;
use crate::error::{Error, Result};
use crate::exit_code::ExitCode;
use crate::signal::SignalNumber;
use crate::store::{Status, Store};
use gantry_record::failpoint;

/// Runs the command.
pub(crate) fn run(store: &Store, args: &Kill) -> Result<ExitCode> {
    let container = store.load(&args.id)?;
    let cgroup = container.cgroup()?;
    if args.all {
        failpoint::at("runtime::kill::found");
        // Without a pid namespace of its own a container can outlive its first process.
        if args.signal == SignalNumber::KILL {
            cgroup.kill_all()?;
        } else {
            cgroup.signal_all(args.signal)?;
        }
        failpoint::at("runtime::kill::sent");
        return Ok(ExitCode::SUCCESS);
    }
    let not_running = || Error::NotRunning { id: args.id.to_string() };
    let init = container.init().ok_or_else(not_running)?;
    let paused = args.signal == SignalNumber::KILL && container.status()? == Status::Paused;
    let sent = init.send(args.signal).map_err(|source| Error::Kill {
        id: args.id.to_string(),
        signal: args.signal.raw(),
        pid: init.pid.as_raw_nonzero().get(),
        source,
    })?;
    if !sent {
        return Err(not_running());
    }
    if paused && !cgroup.is_v2() {
        // Frozen by version 1, it would die only when resumed.
        cgroup.thaw()?;
    }
    Ok(ExitCode::SUCCESS)
}

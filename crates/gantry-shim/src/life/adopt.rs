//! The other beginning: standing beside a process whose shim was killed, or has handed over.
//!
//! Everything that the dead shim held has a second holder in the daemon, so nothing has broken meanwhile, and nothing
//! here takes anything away that the next successor would need.

use super::{Begun, Kind};
use crate::console;
use crate::contract::{Folder, ShimLog};
use crate::error::{Error, Result};
use crate::event_loop::EventLoop;
use crate::logging::{Logger, Plan};
use crate::process::{Orphan, Process};
use crate::stdio::{Client, Direct, Stdio, Terminal};
use gantry_record::ProcessRecord;
use gantry_record::failpoint;

/// Finds the process and opens its streams.
pub(super) fn adopt(
    events: &EventLoop,
    folder: &Folder,
    record: &ProcessRecord,
    plan: Option<Plan>,
    log: &ShimLog,
) -> Result<(Option<Logger>, Begun)> {
    let process = match folder.here.exit_status()? {
        Some(status) => Process::Over(status),
        None => Process::Orphan(Orphan::find(events, &folder.here)?),
    };
    failpoint::at("shim::adopt::found");
    let mut complain = |error: Error| log.warn(format!("{error}; going on without it"));
    let logger = plan.and_then(|plan| Logger::again(events, plan).map_err(&mut complain).ok());
    failpoint::at("shim::adopt::logger");
    let [stdin, stdout, stderr] = super::paths(record);
    let stdio = if record.terminal() {
        let master = console::inherited()?;
        let client = Client::open(stdin, stdout, super::how(record, true)).unwrap_or_else(|error| {
            complain(error);
            Client::default()
        });
        let mut terminal = Terminal::new(events, master, client)?;
        if folder.here.is_stdin_closed() {
            terminal.close_stdin();
        }
        Stdio::Terminal(terminal)
    } else {
        let how = super::how(record, false);
        let mut streams = Direct::again([stdin, stdout, stderr], how, process.pidfd(), &mut complain);
        streams.process_exists();
        if folder.here.is_stdin_closed() {
            streams.close_stdin();
        }
        Stdio::Direct(streams)
    };
    failpoint::at("shim::adopt::streams");
    let kind = Kind::of(record, &process);
    Ok((logger, Begun { process, stdio, kind, runtime: [0; 2] }))
}

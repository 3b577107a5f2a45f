//! `start`: lets the process of a created container run its command, and waits until it does.

use gantry_record::failpoint;
use std::fs;

use crate::error::{Error, Result};
use crate::exit_code::ExitCode;
use crate::hooks;
use crate::id::ContainerId;
use crate::launch::{notify, report::Reader};
use crate::store::{Status, Store};

/// Runs the command.
pub(crate) fn run(store: &Store, id: &ContainerId) -> Result<ExitCode> {
    let mut container = store.load(id)?;
    let refuse = |reason| Err(Error::CannotStart { id: id.to_string(), reason });
    match container.status()? {
        Status::Created => {}
        Status::Stopped => return refuse("it has stopped"),
        Status::Creating => return Err(Error::Incomplete { id: id.to_string() }),
        Status::Running | Status::Paused => return refuse("it is already running"),
    }
    let fifo = container.dir.start_fifo();
    let mut report = Reader::open(&fifo)?;
    failpoint::at("runtime::start::report-opened");
    notify(&container.dir.notify_socket(), id.as_str())?;
    failpoint::at("runtime::start::notified");
    for used in [container.dir.notify_socket(), fifo] {
        let _ = fs::remove_file(used);
    }
    failpoint::at("runtime::start::socket-removed");
    container.record.status = Status::Running;
    container.dir.save_record(&container.record)?;
    failpoint::at("runtime::start::record-saved");
    let reason = report.read_to_end().map_err(crate::error::system("read the report of the process"))?;
    if !reason.is_empty() {
        return Err(Error::Launch { id: id.to_string(), reason });
    }
    failpoint::at("runtime::start::running");
    let state = hooks::state(&container.record, Status::Running);
    if let Some(hooks) = container.config()?.hooks() {
        hooks::run(id.as_str(), "poststart", hooks.poststart().as_ref(), &state)?;
    }
    Ok(ExitCode::SUCCESS)
}

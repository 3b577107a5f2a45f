//! `pause` and `resume`: freeze and thaw all processes of a container.

use crate::error::{Error, Result};
use crate::exit_code::ExitCode;
use crate::id::ContainerId;
use crate::store::{Status, Store};

/// Runs `pause`.
pub(crate) fn pause(store: &Store, id: &ContainerId) -> Result<ExitCode> {
    let container = store.load(id)?;
    match container.status()? {
        Status::Running | Status::Created => container.cgroup()?.freeze()?,
        status => return Err(Error::WrongStatus { action: "pause", id: id.to_string(), status }),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `resume`.
pub(crate) fn resume(store: &Store, id: &ContainerId) -> Result<ExitCode> {
    let container = store.load(id)?;
    match container.status()? {
        Status::Paused => container.cgroup()?.thaw()?,
        status => return Err(Error::WrongStatus { action: "resume", id: id.to_string(), status }),
    }
    Ok(ExitCode::SUCCESS)
}

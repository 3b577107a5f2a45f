//! `pause` and `resume`: freeze and thaw all processes of a container.

use crate::error::{Error, Result};
use crate::exit_code::ExitCode;
use crate::id::ContainerId;
use crate::store::{Status, Store};
use gantry_record::failpoint;

/// Runs `pause`.
pub(crate) fn pause(store: &Store, id: &ContainerId) -> Result<ExitCode> {
    let container = store.load(id)?;
    match container.status()? {
        Status::Running | Status::Created => {
            failpoint::at("runtime::pause::found");
            container.cgroup()?.freeze()?;
            failpoint::at("runtime::pause::frozen");
        }
        status => return Err(Error::WrongStatus { action: "pause", id: id.to_string(), status }),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `resume`.
pub(crate) fn resume(store: &Store, id: &ContainerId) -> Result<ExitCode> {
    let container = store.load(id)?;
    match container.status()? {
        Status::Paused => {
            failpoint::at("runtime::resume::found");
            container.cgroup()?.thaw()?;
            failpoint::at("runtime::resume::thawed");
        }
        status => return Err(Error::WrongStatus { action: "resume", id: id.to_string(), status }),
    }
    Ok(ExitCode::SUCCESS)
}

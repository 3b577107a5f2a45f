//! Bringing a container back from its folder after the daemon was away.

use crate::container::Container;
use crate::error::Result;
use crate::exit::ExitWatch;
use crate::process::{Identity, Process};
use crate::start;
use gantry_record::layout::name;
use gantry_record::{ProcessDir, ProcessId, fifo};
use rustix::fs::OFlags;
use std::path::Path;
use tracing::{info, warn};

/// Looks at one process of a container. `None` when its start was never finished or never reported: nothing of
/// it is left then. A process that has ended is returned too; its watch tells at once.
///
/// `was_reported` says whether the event log knows the start of the process with this pid and start time; a
/// start that nobody was told of is undone.
///
/// # Errors
/// [`crate::Error::Record`] when the folder's records cannot be believed.
pub async fn process(
    container: &Container,
    id: ProcessId,
    was_reported: impl FnOnce(&Identity) -> bool,
) -> Result<Option<(Process, ExitWatch)>> {
    let dir = container.dir().process(&id);
    let identity =
        dir.pid()?.map(|pid| Ok::<_, crate::Error>(Identity::of(pid, dir.start_time()?))).transpose()?;
    let Some(identity) = identity.filter(|identity| !dir.is_starting() || was_reported(identity)) else {
        info!(container = %container.id(), process = %id, "its start was interrupted; undoing it");
        kill_shims(dir.path());
        start::undo(container, &id, &dir).await;
        return Ok(None);
    };
    dir.mark_started()?;
    let record = dir.load()?.to_json().into();
    let exit = open_exit(&dir)?;
    let control_path = dir.file(name::CONTROL);
    fifo::make(&control_path, gantry_record::layout::FILE_MODE)?;
    let control = fifo::open(&control_path, OFlags::RDWR)?;
    let watch = ExitWatch {
        container: container.id().clone(),
        process: id.clone(),
        dir: dir.clone(),
        exit,
        shim: None,
        identity: identity.clone(),
        runtime: container.runtime().clone(),
    };
    let process = Process { container: container.id().clone(), id, record, identity, dir, control };
    Ok(Some((process, watch)))
}

/// A FIFO that is missing is made anew: nobody can hold it, so it reads as hung up, and the status is found
/// out as after a shim's death.
fn open_exit(dir: &ProcessDir) -> Result<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>> {
    fifo::make(&dir.file(name::EXIT), gantry_record::layout::FILE_MODE)?;
    Ok(ExitWatch::open_fifo(dir)?)
}

/// Kills the shims whose working directory is `folder`: the only ones whose pid nobody has written down.
pub fn kill_shims(folder: &Path) {
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for pid in pids {
        let identity = Identity::of(pid, None);
        let stands_here = || std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder);
        if stands_here()
            && let Err(error) = identity.signal(libc::SIGKILL)
        {
            warn!(pid, %error, "an abandoned shim cannot be killed");
        }
    }
}

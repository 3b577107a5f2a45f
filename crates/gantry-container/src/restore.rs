//! Bringing a container back from its folder after the daemon was away.

use crate::container::Container;
use crate::error::Result;
use crate::exit::{Adoption, ExitWatch};
use crate::process::{Identity, Process};
use crate::{shim, start};
use gantry_record::layout::name;
use gantry_record::proc::ProcStat;
use gantry_record::{ContainerId, ProcessDir, ProcessId, failpoint, fifo};
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
    let known = who(&dir)?;
    let Some(identity) = known.filter(|identity| !dir.is_starting() || was_reported(identity)) else {
        info!(container = %container.id(), process = %id, "its start was interrupted; undoing it");
        failpoint::of(&id, "restore-undoing");
        for shim in shims(container.id(), dir.path()) {
            shim::settle(&shim, &dir, start::SETTLE_LIMIT).await;
        }
        let identity = who(&dir).unwrap_or_default();
        kill_shims(container.id(), dir.path());
        failpoint::of(&id, "restore-shims-killed");
        start::undo(container, &id, &dir, identity).await;
        return Ok(None);
    };
    failpoint::of(&id, "restore-found");
    dir.mark_started()?;
    failpoint::of(&id, "restore-marked");
    let record = dir.load()?;
    let shim = || shims(container.id(), dir.path()).next().map(|shim| shim.pid);
    let adoption = Adoption::of(container, &record, &dir, shim);
    let record = record.to_json().into();
    let exit = open_exit(&dir)?;
    let control_path = dir.file(name::CONTROL);
    fifo::make(&control_path, gantry_record::layout::FILE_MODE)?;
    let control = fifo::open(&control_path, OFlags::RDWR)?;
    failpoint::of(&id, "restore-opened");
    let succession = adoption.succession();
    let watch = ExitWatch {
        container: container.id().clone(),
        process: id.clone(),
        dir: dir.clone(),
        exit,
        shim: None,
        identity: identity.clone(),
        runtime: container.runtime().clone(),
        adoption,
    };
    let process =
        Process { container: container.id().clone(), id, record, identity, dir, control, succession };
    Ok(Some((process, watch)))
}

/// Who runs, as far as it was written down. Where the start time is missing, only a living shim vouches for the pid:
/// without one it may long be a stranger's.
fn who(dir: &ProcessDir) -> Result<Option<Identity>> {
    let Some(pid) = dir.pid()? else { return Ok(None) };
    let start_time = dir.start_time()?;
    let vouched = || fifo::has_writer(&dir.file(name::EXIT)).unwrap_or(false);
    Ok(Some(match start_time {
        None if !vouched() => Identity::recorded(pid, Some(0)),
        _ => Identity::of(pid, start_time),
    }))
}

/// A FIFO that is missing is made anew: nobody can hold it, so it reads as hung up, and the status is found
/// out as after a shim's death.
fn open_exit(dir: &ProcessDir) -> Result<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>> {
    fifo::make(&dir.file(name::EXIT), gantry_record::layout::FILE_MODE)?;
    Ok(ExitWatch::open_fifo(dir)?)
}

/// The shims of `container` whose working directory is `folder`. Nobody has written down their pids; this is the
/// one way to find them, and it reads all of `/proc`.
pub(crate) fn shims<'a>(container: &'a ContainerId, folder: &'a Path) -> impl Iterator<Item = Identity> + 'a {
    Identity::all().filter_map(move |identity| {
        let pid = identity.pid;
        let stands_here = std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder);
        // Somebody's shell may stand there too.
        (stands_here && has_argument(pid, container.as_str())).then_some(identity)
    })
}

fn has_argument(pid: i32, wanted: &str) -> bool {
    let command_line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command_line.split(|byte| *byte == 0).skip(1).any(|argument| argument == wanted.as_bytes())
}

/// Kills what is in the process group of a shim that still exists, whether it runs or waits to be reaped: the
/// runtime, and helpers of it that would outlive it. Each by its own descriptor.
pub(crate) fn kill_group(shim: i32) {
    let in_group = |member: &Identity| {
        member.pid != shim && ProcStat::of(member.pid).is_some_and(|stat| stat.group == shim)
    };
    for member in Identity::all().filter(in_group) {
        if let Err(error) = member.signal(libc::SIGKILL) {
            warn!(pid = member.pid, %error, "a helper of an abandoned start cannot be killed");
        }
    }
}

/// Kills the shims of a process that is given up.
pub fn kill_shims(container: &ContainerId, folder: &Path) {
    for shim in shims(container, folder) {
        kill_group(shim.pid);
        if let Err(error) = shim.signal(libc::SIGKILL) {
            warn!(pid = shim.pid, %error, "an abandoned shim cannot be killed");
        }
    }
}

//! Bringing a container back from its folder after the daemon was away.

use crate::claims::{Claim, Told};
use crate::container::Container;
use crate::error::Result;
use crate::exit::{Adoption, ExitWatch};
use crate::process::{Identity, Process};
use crate::{shim, start};
use gantry_record::layout::name;
use gantry_record::proc::ProcStat;
use gantry_record::{ContainerId, ExitStatus, ProcessDir, ProcessId, failpoint, fifo};
use rustix::fs::OFlags;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::{info, warn};

/// How long a process that is given up may take to die of SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// Looks at one process of a container. `None` when its start was never finished or never reported: nothing of
/// it is left then. A process that has ended is returned too; its watch tells at once.
///
/// `told` says under which pid and start time the event log knows the process, if it does not know its end; a
/// start that nobody was told of is undone.
///
/// # Errors
/// [`crate::Error::Record`] when the folder's records cannot be believed.
pub async fn process(
    container: &Container,
    id: ProcessId,
    told: Option<Told>,
) -> Result<Option<(Process, ExitWatch)>> {
    let dir = container.dir().process(&id);
    let claim = Claim { container: container.id(), process: &id, dir: &dir, told };
    let known = claim.settle()?;
    let was_reported = |identity: &Identity| {
        told.is_some_and(|told| told.pid == identity.pid && identity.start_time == Some(told.start_time))
    };
    let Some(identity) = known.filter(|identity| !dir.is_starting() || was_reported(identity)) else {
        info!(container = %container.id(), process = %id, "its start was interrupted; undoing it");
        failpoint::of(&id, "restore-undoing");
        for shim in shims(container.id(), dir.path()) {
            shim::settle(&shim, &dir, start::SETTLE_LIMIT).await;
        }
        let identity = claim.settle().unwrap_or_default();
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
    let exit_path = dir.file(name::EXIT);
    let is_deserted = !fifo::has_writer(&exit_path).unwrap_or(true) && identity.is_alive();
    let open = |name, access| open_fifo(container.id(), &dir, name, access, is_deserted);
    let exit = crate::sys::watch(open(name::EXIT, OFlags::RDONLY)?);
    let exit = exit.map_err(|e| gantry_record::Error::io("watch", exit_path, e))?;
    // Read and write: what is written while no shim reads stays in the FIFO.
    let control = open(name::CONTROL, OFlags::RDWR)?;
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

/// Opens a FIFO of the process's folder. One that is missing, or in whose place something else is, is the shim's still:
/// it is opened by the shim's descriptor. Without a shim nobody can hold it, so it is made anew and reads as hung up,
/// and the status is found out as after a shim's death.
///
/// `is_deserted` says that the process lives and no shim holds the FIFO that is there.
fn open_fifo(
    container: &ContainerId,
    dir: &ProcessDir,
    name: &str,
    access: OFlags,
    is_deserted: bool,
) -> Result<OwnedFd> {
    let path = dir.file(name);
    let reason = match fifo::open(&path, access) {
        Ok(fifo) if !is_deserted => return Ok(fifo),
        Ok(_) => gantry_record::Error::damaged(&path, "nobody holds it, and the process lives"),
        // It is there, and cannot be opened for want of something else.
        Err(error) if is_fifo(&path) => return Err(error.into()),
        Err(error) => error,
    };
    if let Some(held) = shims(container, dir.path()).find_map(|shim| held_fifo(shim.pid, &path, access)) {
        warn!(%container, path = %path.display(), %reason, "a FIFO is not in its place; going on with the one that the shim holds");
        return Ok(held);
    }
    if !is_fifo(&path) {
        warn!(%container, path = %path.display(), %reason, "a FIFO is not in its place; making it anew");
        dir.clear(name)?;
    }
    fifo::make(&path, gantry_record::layout::FILE_MODE)?;
    Ok(fifo::open(&path, access)?)
}

fn is_fifo(path: &Path) -> bool {
    rustix::fs::lstat(path).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_fifo())
}

/// Opens the FIFO that a shim knew by this path (`proc_pid_fd(5)`).
fn held_fifo(shim: i32, path: &Path, access: OFlags) -> Option<OwnedFd> {
    let descriptors = std::fs::read_dir(format!("/proc/{shim}/fd")).ok()?;
    let gone = PathBuf::from(format!("{} (deleted)", path.display()));
    let is_meant =
        |link: &Path| std::fs::read_link(link).is_ok_and(|target| target == path || target == gone);
    let link = descriptors.flatten().map(|entry| entry.path()).find(|link| is_meant(link))?;
    let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fifo = rustix::fs::open(link, flags, rustix::fs::Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&fifo).ok()?;
    rustix::fs::FileType::from_raw_mode(stat.st_mode).is_fifo().then_some(fifo)
}

/// What has become of a process that was given up.
#[derive(Debug)]
pub struct GivenUp {
    /// Its status: what its shim wrote down, or that it was killed, or that nobody knows.
    pub status: ExitStatus,
    /// The pids that were ended.
    pub killed: Vec<i32>,
}

/// Ends what is left of a process whose records cannot be believed: its shim, and what is its own beyond doubt.
pub async fn give_up(
    container: &ContainerId,
    process: &ProcessId,
    dir: &ProcessDir,
    told: Option<Told>,
) -> GivenUp {
    // Looked for before the shim goes, since being its children is what proves them.
    let claim = Claim { container, process, dir, told };
    let living = claim.living();
    let recorded = dir.exit_status().ok().flatten();
    // A start that was not told may have a shim that has not opened anything yet.
    if told.is_none() || claim.has_shim() {
        kill_shims(container, dir.path());
    }
    for process in &living {
        if let Err(error) = process.signal(libc::SIGKILL) {
            warn!(%container, pid = process.pid, %error, "a process that is given up cannot be killed");
        }
    }
    GivenUp {
        status: match recorded {
            Some(status) => status,
            None if living.is_empty() => ExitStatus::UNKNOWN,
            None => ExitStatus::KILLED,
        },
        killed: living.iter().map(|process| process.pid).collect(),
    }
}

/// Waits until what [`give_up`] has killed is gone, and says what is not.
pub async fn gone(container: &ContainerId, told: Option<Told>) {
    let Some(told) = told else { return };
    let process = Identity::of(told.pid, Some(told.start_time));
    if process.is_alive() && !process.ended_within(KILL_LIMIT).await {
        warn!(%container, pid = told.pid, "a process that is given up survives SIGKILL");
    }
}

/// The shims of `container` whose working directory is `folder`. Nobody has written down their pids; this is the
/// one way to find them, and it reads all of `/proc`.
pub(crate) fn shims<'a>(container: &'a ContainerId, folder: &'a Path) -> impl Iterator<Item = Identity> + 'a {
    // Somebody's shell may stand there too.
    let is_meant = move |pid| stands_in(pid, folder) && has_argument(pid, container.as_str());
    // Once more for those that are identified: most processes need not be.
    let found = Identity::all_pids().filter(move |pid| is_meant(*pid)).map(|pid| Identity::of(pid, None));
    found.filter(move |identity| is_meant(identity.pid))
}

/// Whether the folder is a process's working directory, also if it was removed under it.
pub(crate) fn stands_in(pid: i32, folder: &Path) -> bool {
    let Ok(cwd) = std::fs::read_link(format!("/proc/{pid}/cwd")) else { return false };
    let deleted =
        || cwd.as_os_str().as_bytes().strip_suffix(b" (deleted)") == Some(folder.as_os_str().as_bytes());
    cwd == folder || deleted()
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

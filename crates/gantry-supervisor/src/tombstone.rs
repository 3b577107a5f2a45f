//! Reporting an exit exactly once, whenever the daemon is killed.
//!
//! An exit's folder must be gone before the exit is told, since clients use the id again at once; and it must
//! not be gone before the exit is logged, since a kill in between would lose it. So the folder is first moved
//! aside, to `@ended/<number>/<container>/<process>`, in one rename; then the event is logged and told; then
//! the tombstone is renamed to `<number>.told` and removed. What is found there at start is logged unless its name
//! says so or the log knows it.

use crate::events::{Event, EventKind, EventLog, Pending, ProcessKey};
use crate::told::Owed;
use gantry_container::process::Identity;
use gantry_record::failpoint;
use gantry_record::layout::{FOLDER_MODE, folders, remove_folder};
use gantry_record::{ContainerDir, ContainerId, Error, ExitStatus, ProcessId, Result, StateDir};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tracing::{info, warn};

/// What the names of tombstones end with whose exit is in the log.
const TOLD: &str = "told";
/// How often removing is tried where the system has no descriptor for it, and the pause in between.
const ATTEMPTS: u32 = 60;
const PAUSE: Duration = Duration::from_millis(500);

/// A folder whose exit is being reported.
#[derive(Debug)]
pub(crate) struct Tombstone(PathBuf);

fn make_folder(path: &Path) -> Result<()> {
    match rustix::fs::mkdir(path, FOLDER_MODE) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(Error::io("mkdir", path, error)),
    }
}

/// Makes `folder` and, where it is missing, `parent`, which whoever removes the last tombstone takes away.
fn make_nested(parent: &Path, folder: &Path) -> Result<()> {
    loop {
        make_folder(parent)?;
        match make_folder(folder) {
            Err(error) if error.is_not_found() => {}
            result => return result,
        }
    }
}

impl Tombstone {
    /// Moves the folder of a container, or of one process in it, aside.
    ///
    /// # Errors
    /// What kept it from being moved; it is where it was then.
    pub(crate) fn bury(state: &StateDir, container: &ContainerId, process: &ProcessId) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = state.ended().join(format!("{}-{number}", std::process::id()));
        make_nested(&state.ended(), &folder)?;
        let buried = Self(folder);
        failpoint::at("daemon::tombstone::made");
        let (from, to) = if process.is_init() {
            (state.container(container).path().to_owned(), buried.0.join(container.as_str()))
        } else {
            let home = buried.0.join(container.as_str());
            make_folder(&home)?;
            (state.container(container).process(process).path().to_owned(), home.join(process.as_str()))
        };
        failpoint::io("daemon::tombstone::rename")
            .and_then(|()| rustix::fs::rename(&from, &to))
            .map_err(|e| Error::io("rename", &from, e))
            .inspect_err(|_| {
                // It is empty; the next start would remove it too.
                let _ = remove_folder(&buried.0);
                remove_if_empty(&state.ended());
            })?;
        Ok(buried)
    }

    /// Notes that the exit is in the log. In one step: one that is half removed must not pass for an exit that nobody
    /// was told of.
    pub(crate) fn told(self) -> Self {
        let told = self.0.with_extension(TOLD);
        match failpoint::io("daemon::tombstone::tell").and_then(|()| rustix::fs::rename(&self.0, &told)) {
            Ok(()) => Self(told),
            // Then it is only a little less safe.
            Err(_) => self,
        }
    }

    /// Removes it. What is missing for that at the moment, such as a descriptor, is waited for.
    pub(crate) async fn remove(self) {
        let mut attempts = ATTEMPTS;
        while let Err(error) = self.try_remove() {
            attempts -= 1;
            if attempts == 0 || !error.is_of_the_moment() {
                warn!(%error, "what an exit left cannot be removed; the next start tries again");
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        failpoint::at("daemon::tombstone::removed");
        if let Some(ended) = self.0.parent() {
            remove_if_empty(ended);
        }
    }

    fn try_remove(&self) -> Result<()> {
        failpoint::io("daemon::tombstone::remove").map_err(|e| Error::io("remove", &self.0, e))?;
        remove_folder(&self.0)
    }
}

/// The last one puts out the light; while others are there this fails.
fn remove_if_empty(ended: &Path) {
    let _ = rustix::fs::rmdir(ended);
}

/// The event that tells of a process's end.
pub(crate) fn exit_event(container: &str, process: &str, status: ExitStatus, key: ProcessKey) -> Event {
    Event {
        process: process.to_owned(),
        status: status.get(),
        key: Some(key),
        ..Event::of_container(EventKind::Exit, container)
    }
}

/// Finishes what a daemon before this one did not: logs the exits of tombstones that nobody was told of. When this
/// returns, those exits have their place before all that comes; the tasks end when they are in the log, which may have to
/// wait for its disk, and their tombstones are gone.
pub(crate) async fn finish_all(state: &StateDir, log: &EventLog, owed: &Owed) -> JoinSet<()> {
    // Without the folder nothing was left.
    let mut tombstones: Vec<(PathBuf, Vec<Pending>)> = folders(&state.ended())
        .unwrap_or_default()
        .into_iter()
        .map(|(_, folder)| (folder, Vec::new()))
        .collect();
    // They come in any order, and of one container there may be several; its own end is told last.
    for inits in [false, true] {
        for (folder, exits) in &mut tombstones {
            failpoint::at("daemon::restore::tombstone-found");
            if folder.extension().is_none_or(|extension| extension != TOLD) {
                for (container, path) in folders(folder).unwrap_or_default() {
                    finish(&ContainerDir::new(path), &container, inits, log, owed, exits).await;
                }
            }
        }
    }
    let mut tasks = JoinSet::new();
    for (folder, exits) in tombstones {
        tasks.spawn(async move {
            for exit in exits {
                exit.logged().await;
            }
            Tombstone(folder).told().remove().await;
        });
    }
    // Of a daemon that was killed between the last tombstone's removal and this one's.
    remove_if_empty(&state.ended());
    tasks
}

/// The ends of a container's init, or of its execs.
async fn finish(
    dir: &ContainerDir,
    container: &str,
    inits: bool,
    log: &EventLog,
    owed: &Owed,
    exits: &mut Vec<Pending>,
) {
    let processes = dir.processes().unwrap_or_default();
    for process in processes.into_iter().filter(|process| process.is_init() == inits) {
        let folder = dir.process(&process);
        let told = owed.told(container, process.as_str());
        // What was told of the start is surer than what may be damaged.
        let key =
            told.map(|told| ProcessKey { system_pid: told.pid, start_time: told.start_time }).or_else(|| {
                let pid = folder.pid().ok().flatten().filter(|_| !folder.is_starting())?;
                Some(ProcessKey::of(&Identity::recorded(pid, folder.start_time().ok().flatten())))
            });
        let Some(key) = key else { continue };
        if !log.knows(EventKind::Exit, container, process.as_str(), key) {
            let status = folder.exit_status().ok().flatten().unwrap_or(ExitStatus::UNKNOWN);
            info!(container, process = %process, %status, "reporting an exit that the last daemon could not report");
            exits.push(log.enqueue(exit_event(container, process.as_str(), status, key)).await);
            failpoint::at("daemon::restore::tombstone-logged");
        }
        owed.settle(container, process.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_record::ProcessRecord;
    use gantry_record::layout::name;

    #[tokio::test]
    async fn an_empty_folder_of_a_killed_daemon_goes() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let log = EventLog::open(&state.event_log(), 0).unwrap();
        std::fs::create_dir(state.ended()).unwrap();
        finish_all(&state, &log, &Owed::default()).await.join_all().await;
        assert!(!state.ended().exists());
        // Where there is none, there is nothing to do.
        assert!(finish_all(&state, &log, &Owed::default()).await.is_empty());
    }

    /// A container's end and those of its execs may wait in tombstones of their own for a disk that is full.
    #[tokio::test]
    async fn of_one_container_the_end_of_init_is_told_last() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let log = EventLog::open(&state.event_log(), 0).unwrap();
        std::fs::create_dir(state.ended()).unwrap();
        // In whatever order the file system lists them, init's is between two others.
        for (number, process) in [(1, "e1"), (2, "init"), (3, "e2")] {
            let tombstone = state.ended().join(format!("7-{number}"));
            std::fs::create_dir_all(tombstone.join("c1")).unwrap();
            let dir = ContainerDir::new(tombstone.join("c1")).process(&ProcessId::new(process).unwrap());
            dir.create(&ProcessRecord::default()).unwrap();
            std::fs::write(dir.file(name::PID), "12").unwrap();
            dir.mark_started().unwrap();
        }
        finish_all(&state, &log, &Owed::default()).await.join_all().await;
        let told = log.subscribe(Some(crate::Timestamp::default()), true, None).replay;
        assert_eq!(told.last().map(|event| event.process.as_str()), Some("init"), "{told:?}");
        assert_eq!(told.len(), 3);
    }
}

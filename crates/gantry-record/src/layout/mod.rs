//! Where things are below the state dir.
//!
//! ```text
//! <state dir>/
//!   events.log
//!   ended.log                     Gantry: how containers ended
//!   <container id>/
//!     state.json                  the container (ContainerRecord)
//!     init/                       one folder per process: init, or an exec's id
//!       process.json              what to run (ProcessRecord)
//!       exit  control             FIFOs, see crate::control
//!       pid  starttime            who runs; field 22 of /proc/<pid>/stat
//!       exitStatus                how it ended
//!       shim-log.json  log.json   what shim and runtime complained about
//!       starting                  Gantry: the start has not been reported yet
//!       stdout  stderr            Gantry: FIFOs of streams that the shim logs
//!       log-journal               Gantry: the shim's own, see there
//!       usage                     Gantry: what it had used at its end (Usage)
//!       deleted                   Gantry: the shim has deleted the runtime's container
//!       stdin-closed              Gantry: nobody is to keep standard input open any more
//!       handover                  Gantry: the shim was asked to leave the process to a successor
//!   @ended/                       Gantry: folders whose exit is being reported
//!   @set-aside/                   Gantry: folders that could not be believed
//! ```
//!
//! `@` is in no id, so the last two can't collide with a container. 0.2 made folders with mode 0755; here they
//! are 0700 and files 0600, since `process.json` holds the environment.

mod process;
mod trust;

pub use process::ProcessDir;

use crate::atomic;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::records::ContainerRecord;
use crate::{ContainerId, ProcessId, id};
use rustix::fs::Mode;
use std::path::{Path, PathBuf};

/// Mode of folders.
pub const FOLDER_MODE: Mode = Mode::from_raw_mode(0o700);
/// Mode of files and FIFOs.
pub const FILE_MODE: Mode = Mode::from_raw_mode(0o600);

/// File names inside a process's folder that the shim, whose working directory it is, uses too.
pub mod name {
    /// [`ProcessRecord`](crate::ProcessRecord) as JSON.
    pub const PROCESS: &str = "process.json";
    /// FIFO whose hang-up says that the shim has finished. It carries no data, except when `exitStatus` could not be
    /// written (full disk, folder gone): then the same decimal text and a newline.
    pub const EXIT: &str = "exit";
    /// There since a client has closed the process's standard input.
    pub const STDIN_CLOSED: &str = "stdin-closed";
    /// There from before the shim is asked to hand over until its successor stands in its place.
    pub const HANDOVER: &str = "handover";
    /// FIFO of [`crate::control`].
    pub const CONTROL: &str = "control";
    /// Decimal pid, written by the runtime.
    pub const PID: &str = "pid";
    /// Start time of that pid, in clock ticks since boot.
    pub const START_TIME: &str = "starttime";
    /// [`ExitStatus`](crate::ExitStatus) as decimal text.
    pub const EXIT_STATUS: &str = "exitStatus";
    /// Symbolic link to nothing, whose target is the exit status, there since `exitStatus` could not be written.
    pub const EXIT_STATUS_LINK: &str = "exitStatus.link";
    /// The shim's log ([`crate::log`]).
    pub const SHIM_LOG: &str = "shim-log.json";
    /// The runtime's log ([`crate::log`]).
    pub const RUNTIME_LOG: &str = "log.json";
    /// There from before the shim is spawned until the start event is in the event log. The shim of an init that ends
    /// at once waits for its removal (10 s at most) before it deletes the container, since the runtime's `start` may
    /// still be tidying up.
    pub const STARTING: &str = "starting";
    /// FIFOs, made by the shim in place of streams that are logged ([`crate::container_log`]): the process writes to
    /// them and the shim reads. Whoever wants the log to survive the shim holds their read ends too.
    pub const STDOUT: &str = "stdout";
    /// As [`STDOUT`].
    pub const STDERR: &str = "stderr";
    /// What the shim is about to append to the log, for its successor.
    pub const LOG_JOURNAL: &str = "log-journal";
    /// [`Usage`](crate::Usage) as JSON.
    pub const USAGE: &str = "usage";
    /// There when the shim has made the runtime forget the container.
    pub const DELETED: &str = "deleted";
}

fn make_folder(path: &Path) -> Result<()> {
    failpoint::io("daemon::folder::make").map_err(|e| Error::io("mkdir", path, e))?;
    rustix::fs::mkdir(path, FOLDER_MODE).map_err(|e| Error::io("mkdir", path, e))
}

/// The folder of everything that the daemon must remember.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Names a state dir; nothing is touched.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Makes the folder and its parents where they are missing, mode 0711: what is inside protects itself. One that
    /// others can write to is closed to them; returned is its mode then.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be made, [`Error::Untrusted`] when somebody else owns it or could put another in
    /// its place.
    pub fn create(&self) -> Result<Option<u32>> {
        use std::os::unix::fs::DirBuilderExt;
        match std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&self.0) {
            // Told with the reason: what is there is no folder.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => made.map_err(|e| Error::io("mkdir", &self.0, e))?,
        }
        trust::check(&self.0)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The event log.
    #[must_use]
    pub fn event_log(&self) -> PathBuf {
        self.0.join("events.log")
    }

    /// Where a container lives, whether or not it exists.
    #[must_use]
    pub fn container(&self, id: &ContainerId) -> ContainerDir {
        ContainerDir(self.0.join(id.as_str()))
    }

    /// The ids of all container folders, sorted. What is no folder, has no valid id for its name, or belongs to somebody
    /// else is returned apart.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read.
    pub fn containers(&self) -> Result<(Vec<ContainerId>, Vec<PathBuf>)> {
        failpoint::io("daemon::restore::list").map_err(|e| Error::io("open", &self.0, e))?;
        let mut ids = Vec::new();
        let mut strangers = Vec::new();
        let io = |e| Error::io("read", &self.0, e);
        for entry in std::fs::read_dir(&self.0).map_err(|e| Error::io("open", &self.0, e))? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name();
            let is_ours =
                entry.metadata().is_ok_and(|metadata| metadata.is_dir() && trust::is_ours(&metadata));
            match name.to_str().map(ContainerId::new) {
                Some(Ok(id)) if is_ours => ids.push(id),
                _ if name.to_str().is_some_and(|name| id::is_reserved(name) || name.starts_with('@')) => {}
                _ => strangers.push(entry.path()),
            }
        }
        ids.sort();
        Ok((ids, strangers))
    }

    /// Where folders wait while their exit is being reported.
    #[must_use]
    pub fn ended(&self) -> PathBuf {
        self.0.join("@ended")
    }

    /// Where it is remembered how containers ended.
    #[must_use]
    pub fn ended_log(&self) -> PathBuf {
        self.0.join("ended.log")
    }

    /// Where things go that could not be believed.
    #[must_use]
    pub fn set_aside(&self) -> PathBuf {
        self.0.join("@set-aside")
    }

    /// Moves what is no regular file out of the place of one of the daemon's own, which is neither opened through a link nor
    /// waited for. Returns where it is now, `None` where there was no such thing.
    ///
    /// # Errors
    /// As [`StateDir::put_aside`].
    pub fn put_stranger_aside(&self, file: &Path) -> Result<Option<PathBuf>> {
        let is_stranger = std::fs::symlink_metadata(file).is_ok_and(|metadata| !metadata.is_file());
        is_stranger.then(|| self.put_aside(file)).transpose()
    }

    /// Moves something of the state dir there, for whoever wants to look; returns where it is now.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be moved; it is where it was then.
    pub fn put_aside(&self, what: &Path) -> Result<PathBuf> {
        let aside = self.set_aside();
        match make_folder(&aside) {
            Err(error) if error.io_kind() != Some(std::io::ErrorKind::AlreadyExists) => return Err(error),
            _ => {}
        }
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let target = aside.join(format!("{}.{:09}", since.as_secs(), since.subsec_nanos()));
        rustix::fs::rename(what, &target).map_err(|e| Error::io("rename", what, e))?;
        Ok(target)
    }
}

/// The folders directly below `path`, by name.
///
/// # Errors
/// [`Error::Io`] when `path` cannot be read.
pub fn folders(path: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| Error::io("open", path, e))? {
        let entry = entry.map_err(|e| Error::io("read", path, e))?;
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    Ok(found)
}

/// One container's folder.
#[derive(Clone, Debug)]
pub struct ContainerDir(PathBuf);

impl ContainerDir {
    /// Names a folder as a container's.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the folder and writes its record; on failure nothing of it remains.
    ///
    /// # Errors
    /// [`Error::Io`] with kind `AlreadyExists` when the id is in use, or what failed.
    pub fn create(&self, record: &ContainerRecord) -> Result<()> {
        make_folder(&self.0)?;
        failpoint::at("daemon::container::folder-made");
        atomic::write(&self.state(), &record.to_json(), FILE_MODE).inspect_err(|_| {
            let _ = self.remove();
        })
    }

    /// Reads `state.json`.
    ///
    /// # Errors
    /// [`Error::Io`] when it is missing, [`Error::Damaged`] when it does not parse.
    pub fn load(&self) -> Result<ContainerRecord> {
        ContainerRecord::from_json(&self.state(), &atomic::read(&self.state())?)
    }

    fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }

    /// Where a process of this container lives, whether or not it exists.
    #[must_use]
    pub fn process(&self, id: &ProcessId) -> ProcessDir {
        ProcessDir::new(self.0.join(id.as_str()))
    }

    /// The ids of all process folders, `init` last.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read.
    pub fn processes(&self) -> Result<Vec<ProcessId>> {
        failpoint::io("daemon::container::list").map_err(|e| Error::io("open", &self.0, e))?;
        let mut ids: Vec<ProcessId> =
            folders(&self.0)?.iter().filter_map(|(name, _)| ProcessId::new(name).ok()).collect();
        ids.sort_by_key(|id| (id.is_init(), id.clone()));
        Ok(ids)
    }

    /// Removes the folder with all that is in it, its processes first; one that is gone already is fine.
    ///
    /// # Errors
    /// [`Error::Io`] when something cannot be removed.
    pub fn remove(&self) -> Result<()> {
        // Without the folder there are none.
        for process in self.processes().unwrap_or_default() {
            self.process(&process).remove()?;
        }
        failpoint::at("daemon::container::processes-removed");
        remove_folder(&self.0)
    }

    /// Whether it holds neither a record nor a process: it was being made or removed.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        !self.state().exists() && folders(&self.0).is_ok_and(|folders| folders.is_empty())
    }
}

/// Removes a folder and its content; one that is gone already is fine.
///
/// # Errors
/// [`Error::Io`] when something cannot be removed.
pub fn remove_folder(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExitStatus;
    use crate::ProcessRecord;

    #[test]
    fn a_second_container_of_the_same_id_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let dir = StateDir::new(root.path()).container(&ContainerId::new("a").unwrap());
        let record = ContainerRecord { bundle: "/b".into(), ..ContainerRecord::default() };
        dir.create(&record).unwrap();
        let error = dir.create(&record).unwrap_err();
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::AlreadyExists));
        assert!(error.to_string().starts_with("mkdir "), "{error}");
        assert_eq!(dir.load().unwrap().bundle, "/b");
    }

    #[test]
    fn pid_and_status_survive_a_round_trip_and_damage_is_named() {
        let root = tempfile::tempdir().unwrap();
        let dir = ProcessDir::new(root.path().join("init"));
        dir.create(&ProcessRecord::default()).unwrap();
        assert!(dir.is_starting());
        // A runtime that has made the file and not written it yet.
        std::fs::write(dir.file(name::PID), "").unwrap();
        assert_eq!(dir.pid().unwrap(), None);
        std::fs::write(dir.file(name::PID), "x").unwrap();
        assert!(matches!(dir.pid(), Err(Error::Damaged { .. })));
        std::fs::remove_file(dir.file(name::PID)).unwrap();
        dir.mark_started().unwrap();
        assert!(!dir.is_starting());
        assert_eq!((dir.pid().unwrap(), dir.exit_status().unwrap()), (None, None));
        std::fs::write(dir.file(name::PID), "12").unwrap();
        dir.write_exit_status(ExitStatus::KILLED).unwrap();
        assert_eq!((dir.pid().unwrap(), dir.exit_status().unwrap()), (Some(12), Some(ExitStatus::KILLED)));
        // As on a full disk: nothing can be put into the place.
        std::fs::remove_file(dir.file(name::EXIT_STATUS)).unwrap();
        std::fs::create_dir_all(dir.file(name::EXIT_STATUS).join("x")).unwrap();
        dir.write_exit_status(ExitStatus::KILLED).unwrap_err();
        std::fs::remove_dir_all(dir.file(name::EXIT_STATUS)).unwrap();
        assert_eq!(dir.exit_status().unwrap(), Some(ExitStatus::KILLED));
        for broken in ["", "-4", "0", "x"] {
            std::fs::write(dir.file(name::PID), broken).unwrap();
            assert!(matches!(dir.pid(), Err(Error::Damaged { .. })), "{broken:?}");
        }
    }

    #[test]
    fn what_was_being_made_or_removed_is_bare() {
        let root = tempfile::tempdir().unwrap();
        let dir = StateDir::new(root.path()).container(&ContainerId::new("a").unwrap());
        dir.create(&ContainerRecord { bundle: "/b".into(), ..ContainerRecord::default() }).unwrap();
        dir.process(&ProcessId::init()).create(&ProcessRecord::default()).unwrap();
        assert!(!dir.is_bare());
        std::fs::remove_file(dir.state()).unwrap();
        assert!(!dir.is_bare());
        dir.process(&ProcessId::init()).remove().unwrap();
        assert!(dir.is_bare());
        dir.remove().unwrap();
        dir.remove().unwrap();
    }

    #[test]
    fn init_comes_last_and_strangers_apart() {
        let root = tempfile::tempdir().unwrap();
        for name in ["c/z", "c/init", "c/a", "@ended/x", "b c"] {
            std::fs::create_dir_all(root.path().join(name)).unwrap();
        }
        let state = StateDir::new(root.path());
        let (ids, strangers) = state.containers().unwrap();
        assert_eq!(ids.len(), 1);
        assert_eq!(strangers.len(), 1);
        let processes = state.container(&ids[0]).processes().unwrap();
        assert_eq!(processes.iter().map(ProcessId::as_str).collect::<Vec<_>>(), ["a", "z", "init"]);
    }
}

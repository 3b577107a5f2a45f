//! One process's folder and the files in it.

use super::{FILE_MODE, make_folder, name, remove_folder};
use crate::ExitStatus;
use crate::atomic;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::records::{ProcessRecord, Usage};
use rustix::fs;
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// One process's folder; the shim's working directory.
#[derive(Clone, Debug)]
pub struct ProcessDir(PathBuf);

impl ProcessDir {
    /// Names a folder as a process's.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file inside, by one of the [`name`]s.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes the folder, the start marker, the record and both FIFOs; on failure nothing of it remains.
    ///
    /// # Errors
    /// [`Error::Io`] with kind `AlreadyExists` when the id is in use, or what failed.
    pub fn create(&self, record: &ProcessRecord) -> Result<()> {
        make_folder(&self.0)?;
        failpoint::at("daemon::process::folder-made");
        let fill = || {
            atomic::write(&self.file(name::STARTING), b"", FILE_MODE)?;
            atomic::write(&self.file(name::PROCESS), &record.to_json(), FILE_MODE)?;
            failpoint::io("daemon::process::exit-fifo")
                .map_err(|e| Error::io("mkfifo", self.file(name::EXIT), e))?;
            crate::fifo::make(&self.file(name::EXIT), FILE_MODE)?;
            failpoint::at("daemon::process::exit-fifo-made");
            crate::fifo::make(&self.file(name::CONTROL), FILE_MODE)
        };
        fill().inspect_err(|_| {
            let _ = self.remove();
        })
    }

    /// Reads `process.json`.
    ///
    /// # Errors
    /// [`Error::Io`] when it is missing, [`Error::Damaged`] when it does not parse.
    pub fn load(&self) -> Result<ProcessRecord> {
        let path = self.file(name::PROCESS);
        ProcessRecord::from_json(&path, &atomic::read(&path)?)
    }

    /// The pid that the runtime wrote, if it has. One that makes the file before it writes it, as crun does, and is then
    /// killed or finds no room on the disk, has not.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Damaged`] when it holds no pid.
    pub fn pid(&self) -> Result<Option<i32>> {
        let path = self.file(name::PID);
        let Some(text) = atomic::read_optional(&path)? else { return Ok(None) };
        if text.is_empty() && self.is_starting() {
            return Ok(None);
        }
        let pid = String::from_utf8_lossy(&text).trim().parse::<i32>().ok().filter(|pid| *pid > 0);
        pid.map(Some).ok_or_else(|| Error::damaged(&path, "it holds no pid"))
    }

    /// The start time noted for that pid, if any.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Damaged`] when it holds no number.
    pub fn start_time(&self) -> Result<Option<u64>> {
        let path = self.file(name::START_TIME);
        let Some(text) = atomic::read_optional(&path)? else { return Ok(None) };
        let ticks = String::from_utf8_lossy(&text).trim().parse().ok();
        ticks.map(Some).ok_or_else(|| Error::damaged(&path, "it holds no start time"))
    }

    /// Notes the start time of the pid.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn write_start_time(&self, ticks: u64) -> Result<()> {
        atomic::write(&self.file(name::START_TIME), ticks.to_string().as_bytes(), FILE_MODE)
    }

    /// How the process ended, if somebody wrote it down.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read.
    pub fn exit_status(&self) -> Result<Option<ExitStatus>> {
        let text = atomic::read_optional(&self.file(name::EXIT_STATUS))?;
        let status = text.and_then(|t| ExitStatus::parse(&String::from_utf8_lossy(&t)));
        Ok(status.or_else(|| {
            let target = fs::readlink(self.file(name::EXIT_STATUS_LINK), Vec::new()).ok()?;
            ExitStatus::parse(target.to_str().ok()?)
        }))
    }

    /// Writes down how the process ended. On a full disk [`name::EXIT_STATUS_LINK`] has it after the error, if at all
    /// possible: the target of a short link is in the inode and takes no room.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn write_exit_status(&self, status: ExitStatus) -> Result<()> {
        let path = self.file(name::EXIT_STATUS);
        atomic::write(&path, status.to_string().as_bytes(), FILE_MODE).inspect_err(|_| {
            // Best effort: the error that matters is the one being returned.
            let _ = fs::symlinkat(status.to_string(), fs::CWD, self.file(name::EXIT_STATUS_LINK));
        })
    }

    /// What the process had used at its end, if the shim could read it. A figure of no consequence: damage is as
    /// good as nothing.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        serde_json::from_slice(&atomic::read(&self.file(name::USAGE)).ok()?).ok()
    }

    /// Writes down what the process had used at its end.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn write_usage(&self, usage: &Usage) -> Result<()> {
        atomic::write(&self.file(name::USAGE), &serde_json::to_vec(usage).unwrap_or_default(), FILE_MODE)
    }

    /// Whether a client has closed standard input: then nobody who comes later may keep it open.
    #[must_use]
    pub fn is_stdin_closed(&self) -> bool {
        self.file(name::STDIN_CLOSED).exists()
    }

    /// Notes that.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn mark_stdin_closed(&self) -> Result<()> {
        atomic::write(&self.file(name::STDIN_CLOSED), b"", FILE_MODE)
    }

    /// Whether a shim that is gone was asked to be.
    #[must_use]
    pub fn is_handed_over(&self) -> bool {
        self.file(name::HANDOVER).exists()
    }

    /// Notes that the shim is asked to hand over, or that it has done so.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written or removed.
    pub fn mark_handover(&self, under_way: bool) -> Result<()> {
        let path = self.file(name::HANDOVER);
        if under_way {
            return atomic::write(&path, b"", FILE_MODE);
        }
        unlink(&path)
    }

    /// Whether the start has not been reported yet.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        self.file(name::STARTING).exists()
    }

    /// Notes that the start has been reported.
    ///
    /// # Errors
    /// [`Error::Io`] when the marker cannot be removed.
    pub fn mark_started(&self) -> Result<()> {
        let path = self.file(name::STARTING);
        failpoint::io("daemon::process::starting-remove").map_err(|e| Error::io("remove", &path, e))?;
        unlink(&path)
    }

    /// Removes a file of the folder, or what somebody has put in its place; one that is gone already is fine.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be removed.
    pub fn clear(&self, name: &str) -> Result<()> {
        unlink(&self.file(name))
    }

    /// Removes the folder with all that is in it. The pid goes first: whoever finds the rest, because this one was
    /// killed half-way, must not take it for a process that was started.
    ///
    /// # Errors
    /// [`Error::Io`] when something cannot be removed.
    pub fn remove(&self) -> Result<()> {
        unlink(&self.file(name::PID))?;
        failpoint::at("daemon::process::pid-removed");
        remove_folder(&self.0)
    }
}

/// Removes a file, or what somebody has put in its place; one that is gone already is fine.
fn unlink(path: &Path) -> Result<()> {
    match fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => remove_folder(path),
        Err(error) => Err(Error::io("remove", path, error)),
    }
}

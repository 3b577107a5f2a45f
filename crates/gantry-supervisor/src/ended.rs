//! What is remembered of containers that have ended: one small file each, in `@records` of the state dir.
//!
//! The files are written before the exit is told and are kept until somebody removes them; there are never more
//! than [`MAX_RECORDS`], the oldest go first.

use crate::events::Timestamp;
use gantry_record::{ContainerId, Error, Result, StateDir, atomic, layout};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;
use tracing::warn;

/// Records that are kept.
const MAX_RECORDS: usize = 1000;
/// How many may be written before the oldest are looked for.
const PRUNE_EVERY: usize = 64;

/// How a container ended. Times are RFC 3339.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Ended {
    /// The container.
    pub id: String,
    /// Its bundle.
    pub bundle: String,
    /// Its runtime.
    pub runtime: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// Host pid that its init had.
    pub system_pid: i32,
    /// The exit status, 0 to 255.
    pub status: u32,
    /// The signal that ended it, or 0.
    pub signal: u32,
    /// Whether the kernel killed in it for want of memory.
    pub oom_killed: bool,
    /// When it was started.
    pub started_at: String,
    /// When it ended.
    pub ended_at: String,
    /// Processor time in nanoseconds, if anybody could read it.
    pub cpu_nanos: Option<u64>,
    /// Peak memory in bytes, if anybody could read it.
    pub peak_memory_bytes: Option<u64>,
}

/// The records of one state dir.
#[derive(Debug)]
pub(crate) struct Records {
    folder: PathBuf,
    written: AtomicUsize,
}

impl Records {
    /// Opens the records and forgets surplus ones.
    pub(crate) fn open(state: &StateDir) -> Result<Self> {
        let records = Self { folder: state.records(), written: AtomicUsize::new(0) };
        match rustix::fs::mkdir(&records.folder, layout::FOLDER_MODE) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(Error::io("mkdir", &records.folder, error)),
        }
        records.prune();
        Ok(records)
    }

    fn path(&self, id: &ContainerId) -> PathBuf {
        self.folder.join(id.as_str())
    }

    /// Remembers how a container ended, in place of what was remembered of its id before.
    pub(crate) fn write(&self, id: &ContainerId, ended: &Ended) -> Result<()> {
        let json = serde_json::to_vec(ended).unwrap_or_default();
        atomic::write(&self.path(id), &json, layout::FILE_MODE)?;
        if self.written.fetch_add(1, Ordering::Relaxed) % PRUNE_EVERY == PRUNE_EVERY - 1 {
            self.prune();
        }
        Ok(())
    }

    /// How a container ended, if that is remembered.
    pub(crate) fn read(&self, id: &ContainerId) -> Result<Option<Ended>> {
        let path = self.path(id);
        let Some(json) = atomic::read_optional(&path)? else { return Ok(None) };
        serde_json::from_slice(&json).map(Some).map_err(|e| Error::damaged(&path, e.to_string()))
    }

    /// Forgets a container; one that is not remembered is fine.
    pub(crate) fn remove(&self, id: &ContainerId) -> Result<()> {
        match std::fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", self.path(id), error))
            }
            _ => Ok(()),
        }
    }

    /// Removes the oldest records above the limit.
    fn prune(&self) {
        let mut records = by_age(&self.folder);
        let surplus = records.len().saturating_sub(MAX_RECORDS);
        for (_, path) in records.drain(..surplus) {
            if let Err(error) = std::fs::remove_file(&path) {
                warn!(path = %path.display(), %error, "an old record cannot be removed");
            }
        }
    }
}

fn by_age(folder: &Path) -> Vec<(SystemTime, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let aged = |entry: std::fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
    let mut records: Vec<_> = entries.filter_map(aged).collect();
    records.sort();
    records
}

/// When the file at `path` was last written, if that can be told.
pub(crate) fn modified(path: &Path) -> Option<Timestamp> {
    let since = std::fs::metadata(path).ok()?.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Timestamp::from_parts(since.as_secs().try_into().ok()?, since.subsec_nanos().try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_until_told_to_forget_and_never_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let records = Records::open(&state).unwrap();
        let id = |n: usize| ContainerId::new(&format!("c{n}")).unwrap();
        let ended = Ended { id: "c0".to_owned(), status: 137, signal: 9, ..Ended::default() };
        records.write(&id(0), &ended).unwrap();
        assert_eq!(Records::open(&state).unwrap().read(&id(0)).unwrap(), Some(ended));
        records.remove(&id(0)).unwrap();
        records.remove(&id(0)).unwrap();
        assert_eq!(records.read(&id(0)).unwrap(), None);
        for n in 0..MAX_RECORDS + PRUNE_EVERY {
            records.write(&id(n), &Ended::default()).unwrap();
        }
        let kept = by_age(&state.records()).len();
        assert!((MAX_RECORDS..MAX_RECORDS + PRUNE_EVERY).contains(&kept), "{kept}");
    }

    #[test]
    fn a_damaged_record_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(&StateDir::new(folder.path())).unwrap();
        let id = ContainerId::new("x").unwrap();
        std::fs::write(records.path(&id), b"{").unwrap();
        assert!(records.read(&id).unwrap_err().to_string().contains("@records/x"));
    }
}

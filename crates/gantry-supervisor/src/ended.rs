//! What is remembered of containers that have ended: one JSON line each, in `ended.log` of the state dir.
//!
//! A line is appended before the exit is told; one that only names an id says that its record was removed. There
//! are never more than [`MAX_RECORDS`], the oldest go first. The file is written anew once most of its lines say
//! nothing any more.

use crate::events::Timestamp;
use gantry_record::failpoint;
use gantry_record::{ContainerId, Error, Result, StateDir, atomic, layout};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tracing::warn;

/// Records that are kept.
const MAX_RECORDS: usize = 1000;
/// Lines that may say nothing before the file is written anew.
const MAX_WASTE: usize = 1000;

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

/// A line that says that a record was removed.
#[derive(Serialize)]
struct Removed<'a> {
    id: &'a str,
    removed: bool,
}

/// What is enough to know of a line.
#[derive(Deserialize)]
struct Head {
    id: String,
    #[serde(default)]
    removed: bool,
}

/// The records of one state dir.
#[derive(Debug)]
pub(crate) struct Records {
    path: PathBuf,
    lines: Mutex<Lines>,
}

/// The file's meaning: the newest line of each id that was not removed, by its age.
#[derive(Debug, Default)]
struct Lines {
    /// Number of the newest line; they are counted from the file's beginning.
    newest: u64,
    by_age: BTreeMap<u64, Box<[u8]>>,
    by_id: BTreeMap<Box<str>, u64>,
    /// Lines in the file.
    in_file: usize,
    /// Writing has failed: the file lacks something, or has a torn line.
    is_stale: bool,
}

impl Lines {
    fn take_in(&mut self, line: &[u8]) {
        self.in_file += 1;
        let Ok(head) = serde_json::from_slice::<Head>(line) else {
            warn!("a line about an ended container cannot be read; leaving it out");
            return;
        };
        if let Some(older) = self.by_id.remove(head.id.as_str()) {
            self.by_age.remove(&older);
        }
        if head.removed {
            return;
        }
        self.newest += 1;
        self.by_age.insert(self.newest, line.into());
        self.by_id.insert(head.id.into(), self.newest);
        if self.by_age.len() > MAX_RECORDS
            && let Some((oldest, line)) = self.by_age.pop_first()
            && let Ok(head) = serde_json::from_slice::<Head>(&line)
            && self.by_id.get(head.id.as_str()) == Some(&oldest)
        {
            self.by_id.remove(head.id.as_str());
        }
    }

    fn get(&self, id: &str) -> Option<&[u8]> {
        self.by_age.get(self.by_id.get(id)?).map(AsRef::as_ref)
    }
}

impl Records {
    /// Reads the records. A file that is not there is empty; lines that cannot be read are left out.
    pub(crate) fn open(state: &StateDir) -> Result<Self> {
        let path = state.ended_log();
        let mut lines = Lines::default();
        let contents = atomic::read_optional(&path)?.unwrap_or_default();
        if contents.last().is_some_and(|last| *last != b'\n') {
            // What is appended to a torn line would be lost with it: the next write is a whole new file.
            lines.is_stale = true;
        }
        for line in contents.split(|byte| *byte == b'\n') {
            if !line.is_empty() {
                lines.take_in(line);
            }
        }
        Ok(Self { path, lines: Mutex::new(lines) })
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        // A panic between two of the maps' changes could at worst hide a record.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers how a container ended, in place of what was remembered of its id before.
    pub(crate) fn write(&self, ended: &Ended) -> Result<()> {
        self.append(&serde_json::to_vec(ended).unwrap_or_default())
    }

    /// How a container ended, if that is remembered.
    pub(crate) fn read(&self, id: &ContainerId) -> Result<Option<Ended>> {
        let lines = self.lines();
        let Some(line) = lines.get(id.as_str()) else { return Ok(None) };
        serde_json::from_slice(line).map(Some).map_err(|e| Error::damaged(&self.path, e.to_string()))
    }

    /// Everything that is remembered, the oldest first. A record that is damaged is left out.
    pub(crate) fn all(&self) -> Vec<Ended> {
        let lines = self.lines();
        let read = |line: &[u8]| {
            let read = serde_json::from_slice(line);
            read.inspect_err(|error| warn!(%error, "a record of an ended container is damaged")).ok()
        };
        lines.by_age.values().filter_map(|line| read(line)).collect()
    }

    /// Forgets a container; one that is not remembered is fine.
    pub(crate) fn remove(&self, id: &ContainerId) -> Result<()> {
        {
            let lines = self.lines();
            // While the file is stale it may still have what was to be forgotten.
            if lines.get(id.as_str()).is_none() && !lines.is_stale {
                return Ok(());
            }
        }
        self.append(&serde_json::to_vec(&Removed { id: id.as_str(), removed: true }).unwrap_or_default())
    }

    /// Tries again to write what could not be written.
    pub(crate) fn retry(&self) {
        let mut lines = self.lines();
        if lines.is_stale
            && let Err(error) = self.rewrite(&mut lines)
        {
            warn!(%error, "how containers ended still cannot be written down");
        }
    }

    fn append(&self, line: &[u8]) -> Result<()> {
        let mut lines = self.lines();
        lines.take_in(line);
        if lines.is_stale || lines.in_file > lines.by_age.len() + MAX_WASTE {
            return self.rewrite(&mut lines);
        }
        append_whole(&self.path, &[line, b"\n"].concat()).inspect_err(|_| lines.is_stale = true)
    }

    fn rewrite(&self, lines: &mut Lines) -> Result<()> {
        let all: Vec<u8> = lines.by_age.values().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
        lines.is_stale = true;
        atomic::write(&self.path, &all, layout::FILE_MODE)?;
        lines.in_file = lines.by_age.len();
        lines.is_stale = false;
        Ok(())
    }
}

/// Appends whole lines, or none: what a full disk has taken of them is given back.
fn append_whole(path: &Path, whole_lines: &[u8]) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true).mode(layout::FILE_MODE.bits());
    failpoint::io("daemon::ended-log::open").map_err(|e| Error::io("open", path, e))?;
    let mut file = options.open(path).map_err(|e| Error::io("open", path, e))?;
    failpoint::io("daemon::ended-log::write").map_err(|e| Error::io("write", path, e))?;
    let length = file.metadata().map_err(|e| Error::io("stat", path, e))?.len();
    file.write_all(whole_lines).map_err(|e| Error::io("write", path, e)).inspect_err(|_| {
        // Best effort: the error that matters is the one being returned.
        let _ = file.set_len(length);
    })?;
    failpoint::at("daemon::ended-log::written");
    Ok(())
}

/// When the file at `path` was last written, if that can be told.
pub(crate) fn modified(path: &Path) -> Option<Timestamp> {
    let since = std::fs::metadata(path).ok()?.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Timestamp::from_parts(since.as_secs().try_into().ok()?, since.subsec_nanos().try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> ContainerId {
        ContainerId::new(&format!("c{n}")).unwrap()
    }

    fn ended(n: usize, status: u32) -> Ended {
        Ended { id: id(n).to_string(), status, ..Ended::default() }
    }

    #[test]
    fn remembers_until_told_to_forget() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let records = Records::open(&state).unwrap();
        records.write(&ended(0, 1)).unwrap();
        records.write(&ended(0, 137)).unwrap();
        records.write(&ended(1, 2)).unwrap();
        let again = Records::open(&state).unwrap();
        assert_eq!(again.read(&id(0)).unwrap(), Some(ended(0, 137)));
        again.remove(&id(0)).unwrap();
        again.remove(&id(0)).unwrap();
        let again = Records::open(&state).unwrap();
        assert_eq!((again.read(&id(0)).unwrap(), again.read(&id(1)).unwrap()), (None, Some(ended(1, 2))));
        again.write(&ended(0, 3)).unwrap();
        assert_eq!(again.all(), [ended(1, 2), ended(0, 3)]);
    }

    #[test]
    fn never_too_many_and_the_file_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let records = Records::open(&state).unwrap();
        for n in 0..3 * MAX_RECORDS {
            records.write(&ended(n, 0)).unwrap();
        }
        let again = Records::open(&state).unwrap();
        assert_eq!(again.lines().by_age.len(), MAX_RECORDS);
        assert_eq!(again.lines().by_id.len(), MAX_RECORDS);
        assert!(again.lines().in_file <= MAX_RECORDS + MAX_WASTE);
        assert_eq!(again.read(&id(0)).unwrap(), None);
        assert!(again.read(&id(3 * MAX_RECORDS - 1)).unwrap().is_some());
    }

    #[test]
    fn what_a_full_disk_did_not_take_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("none", folder.path(), "tmpfs", flags, c"size=8k").unwrap();
        let state = StateDir::new(folder.path());
        let filler = folder.path().join("filler");
        std::fs::write(&filler, [0; 4096]).unwrap();
        let records = Records::open(&state).unwrap();
        let failed = (0..40).filter(|n| records.write(&ended(*n, 7)).is_err()).count();
        let stored = std::fs::read(state.ended_log()).unwrap();
        let again = Records::open(&state).unwrap();
        std::fs::remove_file(&filler).unwrap();
        rustix::mount::mount_remount(folder.path(), flags, c"size=1m").unwrap();
        records.retry();
        let after = Records::open(&state).unwrap().all();
        rustix::mount::unmount(folder.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
        assert!((1..40).contains(&failed), "{failed} failed");
        assert!(stored.ends_with(b"\n"), "a torn line is left");
        // The others are there for the next daemon, whatever the full disk did.
        assert_eq!(again.all().len(), 40 - failed);
        assert_eq!(after, (0..40).map(|n| ended(n, 7)).collect::<Vec<_>>());
    }

    #[test]
    fn a_torn_line_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        Records::open(&state).unwrap().write(&ended(0, 3)).unwrap();
        let mut torn = std::fs::read(state.ended_log()).unwrap();
        torn.extend_from_slice(b"{\"id\":\"c1\",\"sta");
        std::fs::write(state.ended_log(), torn).unwrap();
        let records = Records::open(&state).unwrap();
        records.write(&ended(2, 4)).unwrap();
        let again = Records::open(&state).unwrap();
        assert_eq!(again.read(&id(0)).unwrap(), Some(ended(0, 3)));
        assert_eq!(again.read(&id(2)).unwrap(), Some(ended(2, 4)));
    }
}

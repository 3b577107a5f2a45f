//! One test's folder and cgroup, and the promise that nothing of it remains.

use crate::{Process, cgroup, mounts, process};
use rustix::process::{Signal, geteuid};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// What the folder's name begins with; `scripts/leftovers.sh` looks for it.
const PREFIX: &str = "gantry-test-";

/// How long a killed process may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the processes are looked for again: one that is being made while its maker is killed shows up late.
const KILL_ROUNDS: usize = 5;

/// A temporary folder, and the name of the cgroup under which this test's containers are.
///
/// When it goes, everything that belongs to it is ended and removed; see the crate's documentation.
#[derive(Debug)]
pub struct Scratch {
    /// `None` only while it is being dropped.
    folder: Option<TempDir>,
    path: PathBuf,
    name: String,
    bundles: AtomicU32,
    keep: AtomicBool,
}

impl Scratch {
    /// Makes the folder.
    ///
    /// # Panics
    /// Without root: containers need it.
    #[must_use]
    pub fn new() -> Arc<Self> {
        assert!(geteuid().is_root(), "this test makes containers, which needs root: run it as root");
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir().expect("make a temporary folder");
        let path = folder.path().to_owned();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a readable name").to_owned();
        Arc::new(Self {
            folder: Some(folder),
            path,
            name,
            bundles: AtomicU32::new(0),
            keep: AtomicBool::new(false),
        })
    }

    /// Lets the files stay for a look when all else is removed.
    pub fn keep_files(&self) {
        self.keep.store(true, Ordering::Relaxed);
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the cgroup below which everything runs; also the folder's name, and so unique.
    #[must_use]
    pub fn cgroup(&self) -> &str {
        &self.name
    }

    /// The folders of this test's cgroups in all hierarchies.
    #[must_use]
    pub fn cgroup_folders(&self) -> Vec<PathBuf> {
        cgroup::folders(&self.name)
    }

    /// The mount points in the folder.
    #[must_use]
    pub fn mounts(&self) -> Vec<PathBuf> {
        mounts::under(&self.path)
    }

    /// The processes that have to do with this test, this one excepted.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        process::all()
            .filter(|pid| process::belongs_to(*pid, &self.path, &self.name))
            .filter_map(Process::of)
            .collect()
    }

    /// A number that no other bundle of this scratch has.
    pub(crate) fn next_bundle(&self) -> u32 {
        self.bundles.fetch_add(1, Ordering::Relaxed)
    }

    fn end_processes(&self) {
        for _ in 0..KILL_ROUNDS {
            let processes = self.processes();
            if processes.is_empty() {
                return;
            }
            for process in &processes {
                process.signal(Signal::KILL);
            }
            for process in &processes {
                if !process.ends_within(KILL_TIMEOUT) {
                    eprintln!("testkit: SIGKILL did not end {process:?}");
                }
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        cgroup::thaw(&self.cgroup_folders());
        self.end_processes();
        mounts::remove_under(&self.path);
        cgroup::remove(&self.cgroup_folders());
        let Some(folder) = self.folder.take() else { return };
        if self.keep.load(Ordering::Relaxed) || std::env::var_os("GANTRY_TEST_KEEP").is_some() {
            eprintln!("testkit: kept {}", folder.keep().display());
        } else if let Err(error) = folder.close() {
            eprintln!("testkit: cannot remove {}: {error}", self.path.display());
        }
    }
}

/// The names of all files and folders below `folder`, relative to it; nothing when it is not there.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(next) = todo.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for entry in entries.filter_map(Result::ok) {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(entry.path());
            }
            found.push(entry.path().strip_prefix(folder).expect("a child of its folder").to_owned());
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn ends_and_removes_what_belongs_to_it() {
        let scratch = Scratch::new();
        let path = scratch.path().to_owned();
        fs::create_dir_all(path.join("deep/folder")).unwrap();
        let mut child =
            Command::new("sleep").arg("60").current_dir(&path).stdin(Stdio::null()).spawn().unwrap();
        assert_eq!(scratch.processes().len(), 1);
        let cgroup = mounts::all().into_iter().find(|m| m.kind.starts_with("cgroup")).map(|m| m.point);
        let cgroup = cgroup.unwrap().join(scratch.cgroup()).join("below");
        fs::create_dir_all(&cgroup).unwrap();
        assert_eq!(scratch.cgroup_folders().len(), 2);

        drop(scratch);
        assert!(!child.wait().unwrap().success());
        assert!(!path.exists() && !cgroup.exists());
    }
}

//! Arming failpoints (docs/failpoints.md) of the programs that a test runs.

use crate::Scratch;
use crate::wait::try_wait_for;
use gantry_record::failpoint::{HIT, TRACE};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The failpoints of everything that runs in one scratch.
#[derive(Clone, Debug)]
pub struct Failpoints {
    folder: PathBuf,
}

impl Failpoints {
    /// Those of a scratch; none is armed at first.
    ///
    /// # Panics
    /// When their folder cannot be made.
    #[must_use]
    pub fn of(scratch: &Scratch) -> Self {
        let folder = scratch.path().join("failpoints");
        fs::create_dir_all(&folder).expect("make the failpoints' folder");
        Self { folder }
    }

    /// What the programs get in their environment.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// From now on this happens at the point: `kill`, `error ENOSPC` or `delay 100`, once or `always`.
    ///
    /// # Panics
    /// When that cannot be written.
    pub fn arm(&self, point: &str, action: &str) {
        let _ = fs::remove_file(self.hit_file(point));
        // Whole or not at all, for programs that run.
        let new = self.folder.join(".new");
        fs::write(&new, action)
            .and_then(|()| fs::rename(&new, self.folder.join(point)))
            .expect("arm a failpoint");
    }

    /// Nothing happens at the point any more.
    pub fn disarm(&self, point: &str) {
        // It may have fired.
        let _ = fs::remove_file(self.folder.join(point));
    }

    /// Whether the point has fired since it was armed.
    #[must_use]
    pub fn has_fired(&self, point: &str) -> bool {
        self.hit_file(point).exists()
    }

    /// Waits until it has fired; whether it has.
    #[must_use]
    pub fn fires_within(&self, point: &str, limit: Duration) -> bool {
        try_wait_for(limit, || self.has_fired(point).then_some(())).is_some()
    }

    /// Has all points noted that are passed from now on.
    ///
    /// # Panics
    /// When that cannot be asked for.
    pub fn trace(&self) {
        fs::write(self.folder.join(TRACE), "").expect("ask for a trace");
    }

    /// The points that were passed, in their order.
    #[must_use]
    pub fn traced(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join(TRACE)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn hit_file(&self, point: &str) -> PathBuf {
        self.folder.join(format!("{point}{HIT}"))
    }
}

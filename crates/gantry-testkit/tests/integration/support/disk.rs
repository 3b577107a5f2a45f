//! A disk of a few pages.

use gantry_testkit::Scratch;
use rustix::mount::{MountFlags, mount};
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// A state dir on a file system of its own, which the scratch unmounts at its end.
pub(crate) struct SmallDisk {
    pub(crate) scratch: Arc<Scratch>,
    /// The state dir.
    pub(crate) path: PathBuf,
}

impl SmallDisk {
    /// `options` are those of a tmpfs (`tmpfs(5)`).
    pub(crate) fn new(options: &CStr) -> Self {
        let scratch = Scratch::new();
        let path = scratch.path().join("state");
        fs::create_dir(&path).unwrap();
        mount("none", &path, "tmpfs", MountFlags::empty(), options).unwrap();
        Self { scratch, path }
    }

    /// Leaves no room for another page.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        while file.write(&[0; 4096]).is_ok() {}
    }

    pub(crate) fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        // No id, so that no daemon takes it for a container.
        self.path.join("@filler")
    }
}

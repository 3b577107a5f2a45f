//! The FIFOs of a process that ctr starts: in a directory of their own, gone with ctr.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use rustix::fs::Mode;

use super::error::Error;
use crate::attach::fifo::{Fifos, Wanted};
use crate::id::Id;

/// Who may open the FIFOs, if they could reach them: the directory is root's alone.
const FIFO_MODE: u32 = 0o755;
const DIRECTORY_MODE: u32 = 0o700;

/// `ctr-*` in the directory for temporary files, removed when dropped. A shim that has the FIFOs open keeps using them.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

// === impl Directory ===

impl Directory {
    pub(crate) fn create() -> Result<Self, Error> {
        let path = std::env::temp_dir().join(format!("ctr-{}", Id::random()?));
        match DirBuilder::new().mode(DIRECTORY_MODE).create(&path) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(Error::File { step: "mkdir", path, source }),
        }
    }

    /// Makes and opens `stdin`, `stdout` and `stderr`, always all three.
    pub(crate) fn fifos(&self) -> Result<Fifos, Error> {
        let wanted = Wanted { stdin: true, stderr: true };
        Ok(Fifos::create_as(|stream| self.0.join(stream), Mode::from_raw_mode(FIFO_MODE), wanted)?)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

//! The FIFOs between the client and the shim.
//!
//! Who holds what: the shim opens every FIFO for reading and for writing, so that neither a missing client nor one that
//! leaves disturbs the container. The client opens before it asks the daemon to start anything, and never blocks:
//!
//! - stdout, stderr: the client opens the read end. The end of file comes when the shim closes the write end, that is
//!   when nothing in the container can write any more. Before a first writer came there is no end of file, provided that
//!   one waits with poll(2) and does not read (fifo(7)).
//! - stdin: the client opens a read end too, only so that opening the write end works before the shim is there, and
//!   closes it once the daemon has answered. The process sees the end of its input when both the client has closed
//!   its write end and the shim was told to (`UpdateProcess.closeStdin`).

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};

use crate::error::Error;

/// As much as a FIFO holds.
const LEFTOVER_BYTES: usize = 64 << 10;

/// Of the kinds of stdio that a process has, those that a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) stdin: bool,
    /// Off with a terminal, where stdout carries everything.
    pub(crate) stderr: bool,
}

/// The FIFOs of one process, open on the client's side.
#[derive(Debug)]
pub(crate) struct Fifos {
    pub(crate) stdin: Option<StdinFifo>,
    pub(crate) stdout: OutputFifo,
    pub(crate) stderr: Option<OutputFifo>,
}

#[derive(Debug)]
pub(crate) struct StdinFifo {
    pub(crate) path: FifoPath,
    /// To write to.
    pub(crate) input: OwnedFd,
    /// Keeps `input` writable until the shim reads.
    pub(crate) placeholder: OwnedFd,
}

#[derive(Debug)]
pub(crate) struct OutputFifo {
    pub(crate) path: FifoPath,
    /// To read from, not blocking.
    pub(crate) output: OwnedFd,
}

/// A FIFO in a directory, removed when dropped. The processes that have it open keep using it.
#[derive(Debug)]
pub(crate) struct FifoPath(PathBuf);

// === impl Fifos ===

impl Fifos {
    /// Makes and opens `<dir>/<process>-stdin` and so on.
    pub(crate) fn create(dir: &Path, process: &str, wanted: Wanted) -> Result<Self, Error> {
        Self::create_as(|stream| dir.join(format!("{process}-{stream}")), Mode::RWXU, wanted)
    }

    /// Makes and opens them where `path` says, given `stdin` and so on.
    pub(crate) fn create_as(
        path: impl Fn(&str) -> PathBuf,
        mode: Mode,
        wanted: Wanted,
    ) -> Result<Self, Error> {
        let stdin = wanted.stdin.then(|| StdinFifo::create(path("stdin"), mode)).transpose()?;
        let stdout = OutputFifo::create(path("stdout"), mode)?;
        let stderr = wanted.stderr.then(|| OutputFifo::create(path("stderr"), mode)).transpose()?;
        Ok(Self { stdin, stdout, stderr })
    }

    /// The paths as the daemon takes them, where empty means /dev/null.
    pub(crate) fn paths(&self) -> [String; 3] {
        let text =
            |path: Option<&FifoPath>| path.map(|path| path.0.display().to_string()).unwrap_or_default();
        [
            text(self.stdin.as_ref().map(|fifo| &fifo.path)),
            text(Some(&self.stdout.path)),
            text(self.stderr.as_ref().map(|fifo| &fifo.path)),
        ]
    }
}

// === impl StdinFifo ===

impl StdinFifo {
    fn create(path: PathBuf, mode: Mode) -> Result<Self, Error> {
        let path = FifoPath::create(path, mode)?;
        let placeholder = path.open(OFlags::RDONLY | OFlags::NONBLOCK)?;
        // Blocking from here on: the thread that copies may wait for the container to read.
        let input = path.open(OFlags::WRONLY)?;
        Ok(Self { path, input, placeholder })
    }
}

// === impl OutputFifo ===

impl OutputFifo {
    fn create(path: PathBuf, mode: Mode) -> Result<Self, Error> {
        let path = FifoPath::create(path, mode)?;
        let output = path.open(OFlags::RDONLY | OFlags::NONBLOCK)?;
        Ok(Self { path, output })
    }

    /// What was written and not read yet; for a process that was never started.
    pub(crate) fn leftover(&self) -> Vec<u8> {
        let mut text = vec![0; LEFTOVER_BYTES];
        let count = rustix::io::read(&self.output, &mut text).unwrap_or(0);
        text.truncate(count);
        text
    }
}

// === impl FifoPath ===

impl FifoPath {
    fn create(path: PathBuf, mode: Mode) -> Result<Self, Error> {
        // Left by a client that was killed: a directory belongs to one client at a time.
        let _ = fs::remove_file(&path);
        match mknodat(CWD, &path, FileType::Fifo, mode, 0) {
            Ok(()) => Ok(Self(path)),
            Err(errno) => Err(Error::file("make the FIFO", &path, io::Error::from(errno))),
        }
    }

    fn open(&self, flags: OFlags) -> Result<OwnedFd, Error> {
        open(&self.0, flags | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::file("open the FIFO", &self.0, io::Error::from(errno)))
    }
}

impl Drop for FifoPath {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_open_without_a_partner_and_vanish() {
        let temp = tempfile::tempdir().unwrap();
        let fifos = Fifos::create(temp.path(), "init", Wanted { stdin: true, stderr: false }).unwrap();
        let [stdin, stdout, stderr] = fifos.paths();
        assert!(stdin.ends_with("/init-stdin") && stdout.ends_with("/init-stdout"));
        assert_eq!(stderr, "");
        rustix::io::write(&fifos.stdin.as_ref().unwrap().input, b"early").unwrap();
        drop(fifos);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}

//! FIFOs for a container's stdio, the client's side.

use crate::wait::patient;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// A FIFO in a test's folder.
#[derive(Debug)]
pub struct Fifo {
    path: PathBuf,
}

/// A thread that reads a FIFO to its end.
#[derive(Debug)]
pub struct Collector {
    path: PathBuf,
    output: Receiver<String>,
}

/// A thread that reads a FIFO line by line.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    lines: Receiver<String>,
}

/// The three FIFOs of a process.
#[derive(Debug)]
pub struct StdioFifos {
    /// What the process reads.
    pub stdin: Fifo,
    /// What it writes.
    pub stdout: Fifo,
    /// Where it complains.
    pub stderr: Fifo,
}

// === impl Fifo ===

impl Fifo {
    /// Makes a FIFO.
    #[must_use]
    pub fn create(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .unwrap_or_else(|error| panic!("make the FIFO {}: {error}", path.display()));
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is, as text for a request.
    #[must_use]
    pub fn text(&self) -> String {
        self.path.to_str().expect("a readable path").to_owned()
    }

    /// Reads in the background from the first writer to the last one's end.
    #[must_use]
    pub fn collect(&self) -> Collector {
        let (sender, output) = mpsc::channel();
        let path = self.path.clone();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // Opening waits for a writer; Collector's drop makes one when none ever came.
            let read = File::open(&path).and_then(|mut fifo| fifo.read_to_end(&mut bytes));
            if read.is_ok() {
                let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
            }
        });
        Collector { path: self.path.clone(), output }
    }

    /// Reads in the background, and hands out each line as it comes.
    #[must_use]
    pub fn lines(&self) -> Lines {
        let (sender, lines) = mpsc::channel();
        let path = self.path.clone();
        thread::spawn(move || {
            let Ok(fifo) = File::open(&path) else { return };
            // Nobody listens any more when the test has ended.
            for line in BufReader::new(fifo).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Lines { path: self.path.clone(), lines }
    }

    /// Opens it for writing; waits for a reader.
    #[must_use]
    pub fn writer(&self) -> File {
        OpenOptions::new().write(true).open(&self.path).expect("open a FIFO for writing")
    }

    /// Writes what fits without a reader having to be there, and closes it.
    pub fn write(&self, text: &str) {
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag that fits");
        let mut fifo = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(&self.path)
            .expect("open a FIFO");
        fifo.write_all(text.as_bytes()).expect("write into a FIFO");
    }
}

// === impl Collector ===

impl Collector {
    /// Everything that was written, once the last writer has closed.
    ///
    /// # Panics
    /// When that does not happen within `timeout`.
    #[must_use]
    pub fn finish(self, timeout: Duration) -> String {
        match self.output.recv_timeout(patient(timeout)) {
            Ok(text) => text,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{} was not closed by all writers within {timeout:?}", self.path.display())
            }
            Err(RecvTimeoutError::Disconnected) => panic!("{} could not be read", self.path.display()),
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        release_reader(&self.path);
    }
}

/// A writer that comes and goes: a reader that still waits for one ends. Without a reader this fails, which is fine.
fn release_reader(path: &Path) {
    let _ = open(path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
}

// === impl Lines ===

impl Lines {
    /// The next line; `None` once the last writer has closed.
    ///
    /// # Panics
    /// When neither happens within `timeout`.
    #[must_use]
    pub fn next(&self, timeout: Duration) -> Option<String> {
        match self.lines.recv_timeout(patient(timeout)) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("no line came through {} within {timeout:?}", self.path.display())
            }
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        release_reader(&self.path);
    }
}

// === impl StdioFifos ===

impl StdioFifos {
    /// Makes the three in `folder`, their names beginning with `name`.
    #[must_use]
    pub fn create(folder: &Path, name: &str) -> Self {
        fs::create_dir_all(folder).expect("make a folder for FIFOs");
        let fifo = |end: &str| Fifo::create(folder.join(format!("{name}-{end}")));
        Self { stdin: fifo("stdin"), stdout: fifo("stdout"), stderr: fifo("stderr") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collects_to_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let fifos = StdioFifos::create(folder.path(), "init");
        let output = fifos.stdout.collect();
        let mut writer = fifos.stdout.writer();
        writer.write_all(b"hello").unwrap();
        drop(writer);
        assert_eq!(output.finish(Duration::from_secs(5)), "hello");
    }
}

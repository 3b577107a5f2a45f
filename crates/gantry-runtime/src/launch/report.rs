//! The report: on it a process that could not run its command says why.
//!
//! It is text up to the end of the stream; an end without text is success, for the writing end is closed by a
//! successful execve. Between one command and its child it is a pipe. Between a container's first process and the later
//! `start` it is a FIFO in the container's directory, which the process holds open for writing until its execve.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;

use crate::error::{Result, file, system};

/// Which way a process reports.
pub(crate) enum Channel {
    /// To the command that launched it.
    Pipe,
    /// To whichever command looks later, by this FIFO.
    Fifo(PathBuf),
}

impl Channel {
    /// Opens both ends. For a FIFO this makes it.
    pub(crate) fn open(&self) -> Result<(Reader, OwnedFd)> {
        match self {
            Self::Pipe => {
                let (read, write) =
                    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(system("create a pipe"))?;
                Ok((Reader(read), write))
            }
            Self::Fifo(path) => {
                rustix::fs::mknodat(
                    rustix::fs::CWD,
                    path,
                    rustix::fs::FileType::Fifo,
                    Mode::RUSR | Mode::WUSR,
                    0,
                )
                .map_err(|e| file("create FIFO", path)(e.into()))?;
                let reader = Reader::open(path)?;
                let write = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
                    .map_err(|e| file("open FIFO", path)(e.into()))?;
                Ok((reader, write))
            }
        }
    }
}

/// The reading end.
pub(crate) struct Reader(OwnedFd);

impl Reader {
    /// Opens the reading end of a FIFO, without waiting for a writer.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map(Self).map_err(|e| file("open FIFO", path)(e.into()))
    }

    /// Waits until every writer has closed, and returns what they said.
    pub(crate) fn read_to_end(&mut self) -> io::Result<String> {
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        loop {
            match rustix::io::read(&self.0, &mut part) {
                Ok(0) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
                Ok(count) => bytes.extend_from_slice(part.get(..count).unwrap_or_default()),
                Err(rustix::io::Errno::INTR) => {}
                // A FIFO is opened without blocking, or its opening would wait for a writer.
                Err(rustix::io::Errno::AGAIN) => self.wait()?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    #[test]
    fn silence_until_the_end_is_success() {
        let (mut reader, writer) = Channel::Pipe.open().unwrap();
        drop(writer);
        assert_eq!(reader.read_to_end().unwrap(), "");
    }

    #[test]
    fn a_fifo_carries_the_reason_to_a_later_reader() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        let (first, writer) = Channel::Fifo(path.clone()).open().unwrap();
        drop(first);
        let mut later = Reader::open(&path).unwrap();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            File::from(writer).write_all(b"no such command").unwrap();
        });
        assert_eq!(later.read_to_end().unwrap(), "no such command");
        thread.join().unwrap();
    }
}

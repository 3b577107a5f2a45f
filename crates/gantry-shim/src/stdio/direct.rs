//! Standard streams without a terminal: the process gets the client's own FIFOs and files, and the shim only
//! keeps them alive. Not one byte passes through it.

use super::again;
use super::open::{self, How, Input, Output};
use crate::error::{Error, Result};
use crate::runtime::Streams;
use rustix::pipe::{PipeFlags, SpliceFlags};
use std::os::fd::OwnedFd;
use std::path::Path;

/// How much of standard error an error message may quote.
const MAX_PEEK_BYTES: usize = 4096;

/// The three streams.
pub(crate) struct Direct {
    stdin: Input,
    outputs: [Output; 2],
}

impl Direct {
    /// Opens them.
    pub(crate) fn open(stdin: &Path, stdout: &Path, stderr: &Path, how: How) -> Result<Self> {
        Ok(Self {
            stdin: open::input(stdin, how)?,
            outputs: [open::output(stdout, how)?, open::output(stderr, how)?],
        })
    }

    /// Opens anew, for a process that runs, what the shim before this one had open. With the process's pidfd its own
    /// descriptors are looked at too. What cannot be had again is told to `complain`.
    pub(crate) fn again(
        paths: [&Path; 3],
        how: How,
        process: Option<&OwnedFd>,
        complain: &mut dyn FnMut(Error),
    ) -> Self {
        let [stdin, stdout, stderr] = paths;
        Self {
            stdin: again::input(stdin, how, complain),
            outputs: [
                again::output(stdout, how, process.map(|process| (process, 1)), complain),
                again::output(stderr, how, process.map(|process| (process, 2)), complain),
            ],
        }
    }

    /// Copies of what the process is to inherit.
    pub(crate) fn streams(&self) -> Result<Streams> {
        let [stdout, stderr] = &self.outputs;
        let copy = |fd: &Option<OwnedFd>| fd.as_ref().map(OwnedFd::try_clone).transpose();
        let streams = || Ok([copy(&self.stdin.read)?, copy(&stdout.write)?, copy(&stderr.write)?]);
        streams().map_err(|e: std::io::Error| Error::Setup {
            step: "dup",
            source: rustix::io::Errno::from_io_error(&e).unwrap_or(rustix::io::Errno::INVAL),
        })
    }

    /// The first of what stands unread in standard error, without taking it from the client (tee(2)).
    pub(crate) fn peek_stderr(&self) -> Option<String> {
        let [_, Output { keep: Some(fifo), .. }] = &self.outputs else { return None };
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        rustix::pipe::tee(fifo, write, MAX_PEEK_BYTES, SpliceFlags::NONBLOCK).ok()?;
        let mut bytes = vec![0; MAX_PEEK_BYTES];
        let count = rustix::io::read(read, &mut *bytes).ok()?;
        Some(String::from_utf8_lossy(bytes.get(..count)?).trim().to_owned())
    }

    /// Lets go of all that only the process needs. The ends of FIFOs stay: a client that reconnects would
    /// block in open(2) once the process has closed its own.
    pub(crate) fn process_exists(&mut self) {
        if self.stdin.closer.is_none() {
            self.stdin.read = None;
        }
        for output in self.outputs.iter_mut().filter(|output| output.keep.is_none()) {
            output.write = None;
        }
    }

    /// What `close stdin` means: the process sees the end of file when no client writes any more.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin.closer = None;
    }

    /// The outputs, once the process has ended and nobody needs its input any more.
    pub(crate) fn into_outputs(self) -> [Output; 2] {
        self.outputs
    }
}

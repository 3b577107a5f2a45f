//! Logs of a container whose shim writes no records, as containerd's: one file per stream, with its bytes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use gantry_record::container_log::Stream;

use crate::error::Error;
use crate::output;

/// A file of which everything up to now was copied.
#[derive(Debug)]
pub(crate) struct Tail {
    file: File,
    to: Stream,
}

// === impl Tail ===

impl Tail {
    pub(crate) fn open(path: &Path, to: Stream) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| Error::file("read", path, error))?;
        Ok(Self { file, to })
    }

    pub(crate) fn copy(&mut self) -> Result<(), Error> {
        let mut buffer = vec![0_u8; 64 << 10];
        loop {
            let count = self.file.read(&mut buffer).map_err(|error| Error::system("read the log", error))?;
            if count == 0 {
                return Ok(());
            }
            match self.to {
                Stream::Stdout => output::bytes(&mut io::stdout(), &buffer[..count])?,
                Stream::Stderr => output::bytes(&mut io::stderr(), &buffer[..count])?,
            }
        }
    }
}

//! FIFOs between daemon, shim and client (fifo(7)).

use crate::{Error, Result};
use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, tee};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Makes a FIFO; one that is there already is taken as it is.
///
/// # Errors
/// [`Error::Io`] for anything but "it exists", [`Error::Damaged`] when what exists is no FIFO.
pub fn make(path: &Path, mode: Mode) -> Result<()> {
    match fs::mknodat(fs::CWD, path, FileType::Fifo, mode, 0) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST) => {
            let stat = fs::lstat(path).map_err(|e| Error::io("stat", path, e))?;
            if FileType::from_raw_mode(stat.st_mode).is_fifo() {
                Ok(())
            } else {
                Err(Error::damaged(path, "it should be a FIFO"))
            }
        }
        Err(error) => Err(Error::io("mkfifo", path, error)),
    }
}

/// Opens an existing FIFO without blocking and without following a symlink at its end.
///
/// # Errors
/// [`Error::Io`] when it cannot be opened (`ENXIO` for [`OFlags::WRONLY`] without a reader),
/// [`Error::Damaged`] when it is no FIFO.
pub fn open(path: &Path, access: OFlags) -> Result<OwnedFd> {
    let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fifo = fs::open(path, flags, Mode::empty()).map_err(|e| Error::io("open", path, e))?;
    let stat = fs::fstat(&fifo).map_err(|e| Error::io("stat", path, e))?;
    if !FileType::from_raw_mode(stat.st_mode).is_fifo() {
        return Err(Error::damaged(path, "it should be a FIFO"));
    }
    Ok(fifo)
}

/// Whether anybody holds the FIFO open for writing, or what somebody has written is still in it. Nothing is taken out:
/// what is in `exit` is a status that nobody else knows.
///
/// # Errors
/// As [`open`], or when looking fails.
pub fn has_writer(path: &Path) -> Result<bool> {
    let reader = open(path, OFlags::RDONLY)?;
    let (_read, copy) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| Error::io("pipe for", path, e))?;
    // It tells end of file from "nothing yet" as a read would (tee(2)).
    match tee(&reader, &copy, 1, SpliceFlags::NONBLOCK) {
        Ok(0) => Ok(false),
        Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(true),
        Err(error) => Err(Error::io("read", path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_whether_a_writer_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exit");
        make(&path, Mode::from(0o600)).unwrap();
        make(&path, Mode::from(0o600)).unwrap();
        assert!(!has_writer(&path).unwrap());
        let reader = open(&path, OFlags::RDONLY).unwrap();
        let writer = open(&path, OFlags::WRONLY).unwrap();
        assert!(has_writer(&path).unwrap());
        rustix::io::write(&writer, b"43").unwrap();
        assert!(has_writer(&path).unwrap());
        drop(writer);
        assert!(has_writer(&path).unwrap(), "nobody has taken it yet");
        let mut told = [0; 8];
        assert_eq!(rustix::io::read(&reader, &mut told).unwrap(), 2, "and nothing of it was taken");
        assert!(!has_writer(&path).unwrap());
    }

    #[test]
    fn a_link_or_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(make(&file, Mode::from(0o600)).is_err());
        assert!(open(&file, OFlags::RDONLY).is_err());
        assert!(open(&link, OFlags::RDONLY).is_err());
    }
}

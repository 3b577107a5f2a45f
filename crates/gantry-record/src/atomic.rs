//! Writing a record whole or not at all (design, promise 4).
//!
//! There is no fsync here on purpose. These records describe processes of this boot: a power cut ends what they
//! describe, and a record that it tore is recognised as damaged. What must survive a power cut is in the event
//! log, which syncs (docs/decisions/0001-records-without-fsync.md).

use crate::{Error, Result, failpoint};
use rustix::fs::{self, Mode, OFlags};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// The largest record that is read: a bundle's `config.json` with a huge environment still fits, a bomb does not.
pub const MAX_RECORD_BYTES: u64 = 16 << 20;

/// Writes `contents` to `path` by way of a temporary file beside it and a rename: a reader, or a daemon that
/// comes back from SIGKILL, sees the old record or the new one.
///
/// `mode` is the new file's mode before the umask.
///
/// # Errors
/// [`Error::Io`] with the failed step; the old record, if there was one, is untouched then.
pub fn write(path: &Path, contents: &[u8], mode: Mode) -> Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::damaged(path, "it has no folder to be written in"));
    };
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".new");
    let temporary = folder.join(temporary);
    write_then_rename(&temporary, path, contents, mode).inspect_err(|_| {
        // Best effort: the error that matters is the one being returned.
        let _ = fs::unlink(&temporary);
    })
}

fn write_then_rename(temporary: &Path, path: &Path, contents: &[u8], mode: Mode) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    failpoint::record(path, "open").map_err(|e| Error::io("open", temporary, e))?;
    let handle = fs::open(temporary, flags, mode).map_err(|e| Error::io("open", temporary, e))?;
    let mut file = File::from(handle);
    failpoint::record(path, "write").map_err(|e| Error::io("write", temporary, e))?;
    file.write_all(contents).map_err(|e| Error::io("write", temporary, e))?;
    failpoint::record(path, "rename").map_err(|e| Error::io("rename", path, e))?;
    fs::rename(temporary, path).map_err(|e| Error::io("rename", path, e))?;
    let _ = failpoint::record(path, "renamed");
    Ok(())
}

/// Reads a record that must be a regular file of at most [`MAX_RECORD_BYTES`], and no link to one.
///
/// # Errors
/// [`Error::Io`] when it cannot be opened or read, [`Error::Damaged`] when it is something else or too large.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    failpoint::record(path, "read").map_err(|e| Error::io("read", path, e))?;
    read_limited(path, OFlags::NOFOLLOW, MAX_RECORD_BYTES)
}

/// As [`read`], for a file of somebody else's, which may be a link, with a limit of its own.
///
/// # Errors
/// As [`read`].
pub fn read_foreign(path: &Path, limit: u64) -> Result<Vec<u8>> {
    read_limited(path, OFlags::empty(), limit)
}

fn read_limited(path: &Path, flags: OFlags, limit: u64) -> Result<Vec<u8>> {
    // NONBLOCK: somebody may have put a FIFO there, and opening must not wait for its writer.
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let handle = match fs::open(path, flags, Mode::empty()) {
        Err(rustix::io::Errno::LOOP) if flags.contains(OFlags::NOFOLLOW) => {
            return Err(Error::damaged(path, "it is a symbolic link"));
        }
        // A socket: nothing that could be opened.
        Err(rustix::io::Errno::NXIO) => return Err(Error::damaged(path, "it is not a regular file")),
        opened => opened.map_err(|e| Error::io("open", path, e))?,
    };
    let file = File::from(handle);
    let metadata = file.metadata().map_err(|e| Error::io("stat", path, e))?;
    if !metadata.is_file() {
        return Err(Error::damaged(path, "it is not a regular file"));
    }
    let mut contents = Vec::with_capacity(usize::try_from(metadata.len().min(64 << 10)).unwrap_or(0));
    // A file that says how large it is need not be read to be refused; one that grows meanwhile is.
    if metadata.len() <= limit {
        let mut limited = file.take(limit + 1);
        limited.read_to_end(&mut contents).map_err(|e| Error::io("read", path, e))?;
    }
    if contents.len() as u64 > limit || metadata.len() > limit {
        return Err(Error::damaged(path, format!("it is larger than {limit} bytes")));
    }
    Ok(contents)
}

/// Like [`read`], but a record that is not there is `None`.
///
/// # Errors
/// As [`read`].
pub fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match read(path) {
        Ok(contents) => Ok(Some(contents)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_whole_and_leaves_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        write(&path, b"one", Mode::from(0o600)).unwrap();
        write(&path, b"two", Mode::from(0o600)).unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_keeps_the_old_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        std::fs::create_dir(&path).unwrap();
        let error = write(&path, b"x", Mode::from(0o600)).unwrap_err();
        assert!(matches!(error, Error::Io { step: "rename", .. }), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn refuses_what_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        crate::fifo::make(&path, Mode::from(0o600)).unwrap();
        assert!(matches!(read(&path), Err(Error::Damaged { .. })));
        assert_eq!(read_optional(&folder.path().join("none")).unwrap(), None);
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, b"content").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(matches!(read(&link), Err(Error::Damaged { .. })));
        assert_eq!(read_foreign(&link, 7).unwrap(), b"content");
        assert!(matches!(read_foreign(&link, 6), Err(Error::Damaged { .. })));
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(matches!(read(&socket), Err(Error::Damaged { .. })));
    }
}

//! The log's file: appending whole batches or nothing of them, and setting it aside when it has grown.

use crate::error::{Error, Result};
use gantry_record::container_log::LogTarget;
use gantry_record::failpoint;
use rustix::fs::{self, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long a shim that is ending may hold on to its log: an age, for a kernel that only has to close a file.
const TAKE_OVER: Duration = Duration::from_secs(5);
const TAKE_OVER_STEP: Duration = Duration::from_millis(1);

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Which file: paths move when files are set aside.
    pub(super) inode: u64,
    /// How far from its beginning.
    pub(super) offset: u64,
}

/// The file that is being appended to.
pub(super) struct LogFile {
    target: LogTarget,
    /// Not there while it cannot be had.
    file: Option<OwnedFd>,
    inode: u64,
    length: u64,
}

impl LogFile {
    /// Opens the file, or makes it.
    pub(super) fn open(target: LogTarget) -> Result<Self> {
        let mut log = Self::closed(target);
        log.reopen().map_err(|errno| match errno {
            Errno::AGAIN => Error::LogInUse { path: log.target.path.clone() },
            errno => Error::open(&log.target.path)(errno),
        })?;
        Ok(log)
    }

    /// Opens the file of a shim that is ending. The kernel closes a dead process's files one after another, so its `exit`
    /// FIFO may have hung up while it still holds the lock.
    pub(super) fn take_over(target: &LogTarget) -> Result<Self> {
        let patience = Instant::now() + TAKE_OVER;
        loop {
            match Self::open(target.clone()) {
                Err(Error::LogInUse { .. }) if Instant::now() < patience => thread::sleep(TAKE_OVER_STEP),
                other => return other,
            }
        }
    }

    /// One that will be opened when it is needed.
    pub(super) fn closed(target: LogTarget) -> Self {
        Self { target, file: None, inode: 0, length: 0 }
    }

    /// Opens the file if it is not.
    pub(super) fn reopen(&mut self) -> Result<(), Errno> {
        if self.file.is_some() {
            return Ok(());
        }
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
        // A FIFO must not block, and a link may lead anywhere.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        failpoint::io("shim::log::open")?;
        let file = fs::open(&self.target.path, flags, Mode::RUSR | Mode::WUSR)?;
        let stat = fs::fstat(&file)?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(Errno::INVAL);
        }
        // Two shims that append, cut and rename the same file would lose each other's lines. Where the file system has
        // no locks, its user's word must do.
        if let Err(Errno::AGAIN) = fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            return Err(Errno::AGAIN);
        }
        self.inode = stat.st_ino;
        self.length = u64::try_from(stat.st_size).unwrap_or_default();
        self.file = Some(file);
        Ok(())
    }

    /// Where the next batch will be.
    pub(super) fn end(&self) -> Position {
        Position { inode: self.inode, offset: self.length }
    }

    /// How many bytes it may still grow by.
    pub(super) fn room(&self) -> usize {
        let room = self.target.max_bytes.map_or(u64::MAX, |max| max.saturating_sub(self.length));
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    /// Appends all of it or, when that fails, nothing.
    pub(super) fn append(&mut self, parts: [&[u8]; 2]) -> Result<(), Errno> {
        self.reopen()?;
        failpoint::io("shim::log::append")?;
        let Some(file) = &self.file else { return Err(Errno::BADF) };
        let [mut head, mut body] = parts;
        let mut written = 0;
        while !(head.is_empty() && body.is_empty()) {
            match rustix::io::writev(file, &[IoSlice::new(head), IoSlice::new(body)]) {
                Ok(count) => {
                    written += count as u64;
                    let of_head = count.min(head.len());
                    head = head.get(of_head..).unwrap_or_default();
                    body = body.get(count - of_head..).unwrap_or_default();
                }
                Err(Errno::INTR) => {}
                Err(error) => {
                    self.take_back(written);
                    return Err(error);
                }
            }
        }
        self.length += written;
        Ok(())
    }

    /// A disk that gets full takes the first part of what is written.
    fn take_back(&self, written: u64) {
        if let (Some(file), Some(length)) = (&self.file, self.real_length())
            && written > 0
        {
            // Counted from the real end: somebody may have emptied the file meanwhile.
            let _ = fs::ftruncate(file, length.saturating_sub(written));
        }
    }

    fn real_length(&self) -> Option<u64> {
        u64::try_from(fs::fstat(self.file.as_ref()?).ok()?.st_size).ok()
    }

    /// Makes room for a batch of `bytes` by setting the file aside, if it would grow too large.
    pub(super) fn make_room(&mut self, bytes: usize) -> Result<(), Errno> {
        if bytes <= self.room() || self.length == 0 {
            return Ok(());
        }
        if let Some(length) = self.real_length() {
            self.length = length;
            if bytes <= self.room() || length == 0 {
                return Ok(());
            }
        }
        failpoint::io("shim::log::set-aside")?;
        self.set_aside()?;
        failpoint::at("shim::log::is-aside");
        self.file = None;
        self.length = 0;
        self.reopen()
    }

    fn set_aside(&self) -> Result<(), Errno> {
        let last = self.target.max_files - 1;
        if last == 0 {
            return missing_is_fine(fs::unlink(&self.target.path));
        }
        for number in (0..last).rev() {
            let (from, to) = (self.target.file(number), self.target.file(number + 1));
            failpoint::io("shim::log::rename")?;
            missing_is_fine(fs::rename(&from, &to))?;
        }
        Ok(())
    }

    /// Whether `position` is in this file.
    pub(super) fn reaches(&self, position: Position) -> bool {
        position.inode == self.inode && position.offset <= self.length
    }

    /// Cuts the file off at `position`, if that is in this file.
    pub(super) fn cut(&mut self, position: Position) {
        if self.reaches(position)
            && let Some(file) = &self.file
            && fs::ftruncate(file, position.offset).is_ok()
        {
            self.length = position.offset;
        }
    }

    /// Reads what stands from `position` on; whether that is in this file.
    pub(super) fn read(&self, position: Position, buffer: &mut [u8]) -> bool {
        let Some(file) = self.file.as_ref().filter(|_| position.inode == self.inode) else { return false };
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            match rustix::io::pread(file, room, position.offset + filled as u64) {
                Ok(0) | Err(_) => return false,
                Ok(count) => filled += count,
            }
        }
        true
    }

    /// Ends a last line that has no end: somebody else's, or one that a death has torn.
    pub(super) fn end_line(&mut self) {
        let last = Position { inode: self.inode, offset: self.length.saturating_sub(1) };
        let mut byte = [0];
        if self.length > 0 && self.read(last, &mut byte) && byte != *b"\n" {
            // As good as any later write's failure, which is told.
            let _ = self.append([b"\n", b""]);
        }
    }

    /// Its name.
    pub(super) fn path(&self) -> &Path {
        &self.target.path
    }
}

fn missing_is_fine(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(folder: &Path, max_bytes: u64, max_files: u8) -> LogFile {
        let target = LogTarget { path: folder.join("log"), max_bytes: Some(max_bytes), max_files };
        LogFile::open(target).unwrap()
    }

    fn write(log: &mut LogFile, text: &[u8]) {
        log.make_room(text.len()).unwrap();
        log.append([text, b""]).unwrap();
    }

    fn contents(folder: &Path) -> Vec<(String, String)> {
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                (
                    path.file_name().unwrap().to_str().unwrap().to_owned(),
                    std::fs::read_to_string(path).unwrap(),
                )
            })
            .collect();
        files.sort();
        files
    }

    fn is(folder: &Path, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(contents(folder), expected);
    }

    #[test]
    fn old_files_are_numbered_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path(), 4, 3);
        for text in [b"1\n", b"2\n", b"3\n", b"4\n", b"5\n", b"6\n", b"7\n"] {
            write(&mut log, text);
        }
        is(folder.path(), &[("log", "7\n"), ("log.1", "5\n6\n"), ("log.2", "3\n4\n")]);
        write(&mut log, b"too long\n");
        write(&mut log, b"8\n");
        is(folder.path(), &[("log", "8\n"), ("log.1", "too long\n"), ("log.2", "7\n")]);
    }

    #[test]
    fn a_single_file_starts_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path(), 4, 1);
        for text in [b"1\n", b"2\n", b"3\n"] {
            write(&mut log, text);
        }
        is(folder.path(), &[("log", "3\n")]);
    }

    #[test]
    fn one_that_somebody_empties_is_not_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path(), 4, 3);
        write(&mut log, b"1\n2\n");
        std::fs::write(folder.path().join("log"), "").unwrap();
        write(&mut log, b"3\n");
        is(folder.path(), &[("log", "3\n")]);
    }

    #[test]
    fn nobody_else_may_append() {
        let folder = tempfile::tempdir().unwrap();
        let first = log(folder.path(), 4, 3);
        let again = LogFile::open(LogTarget::new(folder.path().join("log")));
        assert!(matches!(again, Err(Error::LogInUse { .. })));
        drop(first);
        log(folder.path(), 4, 3);
    }

    #[test]
    fn a_successor_waits_for_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = log(folder.path(), 100, 1);
        let target = LogTarget::new(folder.path().join("log"));
        let successor = thread::spawn(move || LogFile::take_over(&target).unwrap());
        // Long enough for the successor to have been refused.
        thread::sleep(20 * TAKE_OVER_STEP);
        write(&mut first, b"of the first\n");
        drop(first);
        write(&mut successor.join().unwrap(), b"of the second\n");
        is(folder.path(), &[("log", "of the first\nof the second\n")]);
    }

    #[test]
    fn links_and_fifos_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (link, fifo) = (folder.path().join("link"), folder.path().join("fifo"));
        std::os::unix::fs::symlink(folder.path().join("target"), &link).unwrap();
        gantry_record::fifo::make(&fifo, Mode::RUSR).unwrap();
        for path in [link, fifo, folder.path().join("no/such/log")] {
            assert!(LogFile::open(LogTarget::new(path)).is_err());
        }
        assert!(!folder.path().join("target").exists());
    }

    #[test]
    fn a_torn_last_line_is_ended_and_a_whole_one_left() {
        let folder = tempfile::tempdir().unwrap();
        for (before, after) in [("torn", "torn\n"), ("whole\n", "whole\n"), ("", "")] {
            std::fs::write(folder.path().join("log"), before).unwrap();
            log(folder.path(), 1000, 1).end_line();
            is(folder.path(), &[("log", after)]);
        }
    }
}

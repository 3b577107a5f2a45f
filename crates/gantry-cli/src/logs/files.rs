//! The files of one log: the newest under the log's own name, older ones with a number behind it, the oldest with the highest.
//!
//! The writer renames them while we read. What has been read is therefore remembered by the file's inode and not by its name,
//! and a file is left only when a newer one is there and another look found it at its end: it gets no more lines then.

use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use gantry_record::container_log::LogTarget;

use crate::error::Error;

/// Where a line is cut; the writer's are far shorter, so that more is damage.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// The highest number that a file has while the most files are kept and one more is being set aside.
const MAX_NUMBER: u8 = 100;

/// How often the names may change between two looks before that is an error and no coincidence.
const MAX_ATTEMPTS: usize = 100;

/// Reads the lines of a log in order, across rotations.
#[derive(Debug)]
pub(crate) struct LogFiles {
    log: LogTarget,
    current: Option<Open>,
    line: Vec<u8>,
}

/// A file that is being read.
#[derive(Debug)]
struct Open {
    reader: BufReader<File>,
    identity: Identity,
    /// The beginning of a line whose end is not there yet.
    pending: Vec<u8>,
}

/// Device and inode: what a file is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity(u64, u64);

/// A file of the log; 0 is the newest.
#[derive(Debug, Clone, Copy)]
struct Generation {
    number: u8,
    identity: Identity,
}

// === impl LogFiles ===

impl LogFiles {
    /// A log may have no file yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { log: LogTarget::new(path), current: None, line: Vec::new() }
    }

    /// The next line with its newline; none when all that is there was read. More may come later.
    pub(crate) fn next_line(&mut self) -> Result<Option<&[u8]>, Error> {
        match self.read_line() {
            Ok(is_there) => Ok(is_there.then_some(&self.line)),
            Err(error) => Err(Error::file("read the log", &self.log.path, error)),
        }
    }

    fn read_line(&mut self) -> io::Result<bool> {
        loop {
            if let Some(open) = &mut self.current
                && open.read_line(&mut self.line)?
            {
                return Ok(true);
            }
            let Some(next) = self.next_file()? else { return Ok(false) };
            // What was written between the end that we saw and the rotation.
            if let Some(open) = &mut self.current
                && open.read_line(&mut self.line)?
            {
                return Ok(true);
            }
            self.current = Some(next);
        }
    }

    /// The file after the one that is being read, or the oldest; none if there is nothing newer.
    fn next_file(&self) -> io::Result<Option<Open>> {
        let current = self.current.as_ref().map(|open| open.identity);
        if current.is_some() && current == identity_of(&self.log.path)? {
            return Ok(None);
        }
        for _ in 0..MAX_ATTEMPTS {
            let generations = generations(|number| identity_of(&self.log.file(number)))?;
            let Some(wanted) = after(&generations, current) else { return Ok(None) };
            let opened = match Open::new(&self.log.file(wanted.number)) {
                Ok(opened) => opened,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // If it was renamed in between, another file was opened.
            if opened.identity == wanted.identity {
                return Ok(Some(opened));
            }
        }
        Err(io::Error::other("its files change their names all the time"))
    }
}

/// All files of a log, the oldest first, by `look`, which tells the file that has a number now.
///
/// Files only move up. Looking at the numbers upwards, too, no file is missed, however many rotations happen
/// meanwhile; one that is seen again is where it was seen last.
fn generations(mut look: impl FnMut(u8) -> io::Result<Option<Identity>>) -> io::Result<Vec<Generation>> {
    let mut generations: Vec<Generation> = Vec::new();
    for number in 0..=MAX_NUMBER {
        if let Some(identity) = look(number)? {
            generations.retain(|generation| generation.identity != identity);
            generations.push(Generation { number, identity });
        }
    }
    generations.reverse();
    Ok(generations)
}

/// The oldest of those newer than `current`; the oldest of all if `current` was rotated away, or is none yet.
fn after(generations: &[Generation], current: Option<Identity>) -> Option<Generation> {
    let position = generations.iter().position(|generation| Some(generation.identity) == current);
    generations.get(position.map_or(0, |position| position + 1)).copied()
}

fn identity_of(path: &Path) -> io::Result<Option<Identity>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(Identity::from(&metadata))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }
}

// === impl Open ===

impl Open {
    fn new(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let identity = Identity::from(&file.metadata()?);
        Ok(Self { reader: BufReader::with_capacity(64 << 10, file), identity, pending: Vec::new() })
    }

    /// A file that is shorter than what was read of it was emptied by somebody, or its writer took back what it could not
    /// write whole. What comes next is behind its new end.
    fn notice_cut(&mut self) -> io::Result<()> {
        let length = self.reader.get_ref().metadata()?.len();
        if length < self.reader.stream_position()? {
            self.reader.seek(SeekFrom::Start(length))?;
            self.pending.clear();
        }
        Ok(())
    }

    /// Whether there is one more line, which is in `line` then.
    fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        let room = MAX_LINE_BYTES - self.pending.len() as u64;
        if self.reader.by_ref().take(room).read_until(b'\n', &mut self.pending)? == 0 {
            self.notice_cut()?;
            return Ok(false);
        }
        if self.pending.last() != Some(&b'\n') && (self.pending.len() as u64) < MAX_LINE_BYTES {
            return Ok(false);
        }
        std::mem::swap(line, &mut self.pending);
        self.pending.clear();
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A log in a folder, and what the writer does to it.
    struct Log {
        folder: tempfile::TempDir,
    }

    impl Log {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap() }
        }

        fn path(&self, number: u8) -> PathBuf {
            LogTarget::new(self.folder.path().join("output.log")).file(number)
        }

        fn write(&self, text: &str) {
            let file = File::options().create(true).append(true).open(self.path(0));
            file.unwrap().write_all(text.as_bytes()).unwrap();
        }

        /// Keeps two older files.
        fn rotate(&self) {
            for number in [1, 0] {
                let _ = fs::rename(self.path(number), self.path(number + 1));
            }
        }
    }

    fn all(files: &mut LogFiles) -> String {
        let mut lines = Vec::new();
        while let Some(line) = files.next_line().unwrap() {
            lines.push(std::str::from_utf8(line).unwrap().trim_end_matches('\n').to_owned());
        }
        lines.join(" ")
    }

    #[test]
    fn older_files_come_first() {
        let log = Log::new();
        for text in ["a\nb\n", "c\n", "d\n"] {
            log.rotate();
            log.write(text);
        }
        fs::write(log.folder.path().join("output.log.old"), "no\n").unwrap();
        assert_eq!(all(&mut LogFiles::new(log.path(0))), "a b c d");
    }

    #[test]
    fn rotations_are_followed() {
        let log = Log::new();
        let mut files = LogFiles::new(log.path(0));
        assert_eq!(all(&mut files), "");
        log.write("a\nb");
        assert_eq!(all(&mut files), "a");
        log.write("c\n");
        log.rotate();
        assert_eq!(all(&mut files), "bc");
        log.write("d\n");
        log.rotate();
        log.write("e\n");
        assert_eq!(all(&mut files), "d e");
        assert_eq!(all(&mut files), "");
    }

    #[test]
    fn who_is_too_slow_misses_what_was_removed() {
        let log = Log::new();
        log.write("a\n");
        let mut files = LogFiles::new(log.path(0));
        assert_eq!(all(&mut files), "a");
        log.write("b\n");
        for text in ["c\n", "d\n", "e\n", "f\n"] {
            log.rotate();
            log.write(text);
        }
        // Our own file is still there for us, `c` is gone.
        assert_eq!(all(&mut files), "b d e f");
    }

    /// Renames one file at a time, as a writer does between two looks.
    struct Writer {
        files: Vec<Option<Identity>>,
        /// The number that gets a file next.
        step: usize,
        made: u64,
    }

    impl Writer {
        fn step(&mut self) {
            if self.step == 0 {
                self.made += 1;
                self.files[0] = Some(Identity(0, self.made));
                self.step = self.files.len() - 1;
            } else {
                self.files[self.step] = self.files[self.step - 1].take();
                self.step -= 1;
            }
        }
    }

    #[test]
    fn no_file_is_missed_while_names_change() {
        // Ten files, and so many renames between two looks, from any step of a rotation on; none becomes too old.
        for (speed, start) in
            [0, 1, 2, 3, 7, 20, 40].into_iter().flat_map(|speed| (0..=100).map(move |start| (speed, start)))
        {
            let files = (0..=100_u64).map(|number| {
                10_u64.checked_sub(number).filter(|made| *made > 0).map(|made| Identity(0, made))
            });
            let mut writer = Writer { files: files.collect(), step: 100, made: 10 };
            (0..start).for_each(|_| writer.step());
            let before: Vec<Identity> = writer.files.iter().rev().flatten().copied().collect();
            let seen = generations(|number| {
                let seen = writer.files[usize::from(number)];
                (0..speed).for_each(|_| writer.step());
                Ok(seen)
            });
            let seen: Vec<Identity> =
                seen.unwrap().into_iter().map(|generation| generation.identity).collect();
            assert!(seen.starts_with(&before), "{before:?} and then {seen:?}");
            assert!(seen.is_sorted_by_key(|identity| identity.1), "{seen:?}");
        }
    }

    #[test]
    fn a_file_that_was_cut_is_read_from_its_new_end() {
        let log = Log::new();
        log.write("a\nb\nhalf");
        let mut files = LogFiles::new(log.path(0));
        assert_eq!(all(&mut files), "a b");
        File::options().write(true).open(log.path(0)).unwrap().set_len(2).unwrap();
        assert_eq!(all(&mut files), "");
        log.write("c\n");
        assert_eq!(all(&mut files), "c");
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let log = Log::new();
        let longest = usize::try_from(MAX_LINE_BYTES).unwrap();
        log.write(&"x".repeat(longest + 1));
        log.write("\nok\n");
        let mut files = LogFiles::new(log.path(0));
        assert_eq!(files.next_line().unwrap().unwrap().len(), longest);
        assert_eq!(all(&mut files), "x ok");
    }
}

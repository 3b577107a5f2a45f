//! `events.log`: one JSON object a line, as 0.2 wrote it (0.2 specification, section 5.6), with `systemPid` and
//! `startTime` added to starts and exits.

use super::{Event, EventKind, ProcessKey, Timestamp};
use gantry_record::failpoint;
use gantry_record::layout::FILE_MODE;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The longest line that is read; ids are at most 255 bytes.
const MAX_LINE_BYTES: usize = 8 << 10;

#[derive(Serialize, Deserialize)]
struct Line {
    id: String,
    #[serde(rename = "type")]
    kind: EventKind,
    timestamp: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pid: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    status: i64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    key: Option<ProcessKey>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if hands out a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// The line of an event, with its newline.
pub(super) fn encode(event: &Event) -> Vec<u8> {
    let line = Line {
        id: event.container.clone(),
        kind: event.kind,
        timestamp: event.timestamp.to_string(),
        pid: event.process.clone(),
        status: i64::from(event.status),
        key: event.key,
    };
    let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Reads one line. A status that old daemons wrote as -1, or that no byte holds, is 255.
fn decode(line: &[u8]) -> Option<Event> {
    let line: Line = serde_json::from_slice(line).ok()?;
    Some(Event {
        kind: line.kind,
        container: line.id,
        process: line.pid,
        status: u8::try_from(line.status).unwrap_or(u8::MAX).into(),
        timestamp: Timestamp::parse(&line.timestamp)?,
        key: line.key,
    })
}

/// What stood in a log.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// Lines that could not be read, a torn last one included.
    pub damaged_lines: usize,
}

/// Reads a log; one that is not there is empty.
pub(super) fn read(path: &Path) -> io::Result<Contents> {
    match File::open(path) {
        Ok(file) => read_from(BufReader::new(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Contents::default()),
        Err(error) => Err(error),
    }
}

/// Reads what stands in a log.
pub(super) fn read_from(mut reader: impl BufRead) -> io::Result<Contents> {
    let mut contents = Contents::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if read_line(&mut reader, &mut line)? == 0 {
            return Ok(contents);
        }
        // A line without its end was never whole on the disk, and what is appended to it would be lost with it.
        match decode(&line).filter(|_| line.ends_with(b"\n")) {
            Some(event) => contents.events.push(event),
            None => contents.damaged_lines += 1,
        }
    }
}

/// Reads up to and with a newline; keeps only [`MAX_LINE_BYTES`] of it. Returns the bytes consumed.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    let mut consumed = 0;
    loop {
        let available = reader.fill_buf()?;
        let end = available.iter().position(|b| *b == b'\n').map(|at| at + 1);
        let taken = end.unwrap_or(available.len());
        let room = MAX_LINE_BYTES.saturating_sub(line.len());
        line.extend_from_slice(&available[..taken.min(room)]);
        reader.consume(taken);
        consumed += taken;
        if end.is_some() || taken == 0 {
            return Ok(consumed);
        }
    }
}

/// A log that is open for appending. Whatever fails, its file holds whole lines only, or is made to before the next one.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// Where the lines begin that the disk may lack, after a failure: they are written there again.
    unsure_from: Option<u64>,
    /// The file is new in its folder, and the disk may not know.
    folder_unsynced: bool,
}

impl LogFile {
    /// Opens a log for appending.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: open(path, false)?,
            unsure_from: None,
            folder_unsynced: false,
        })
    }

    /// Appends whole lines, or none of them. After a failure, of this or of [`LogFile::sync`], it has to be called with
    /// the same lines again: they take the place of what the failure may have left.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let begin = match self.unsure_from {
            Some(begin) => begin,
            None => self.file.metadata()?.len(),
        };
        self.unsure_from = Some(begin);
        failpoint::io("daemon::event-log::write")?;
        self.file.write_all_at(lines, begin).inspect_err(|_| {
            // A reader must find no torn line. Where even this fails, the next attempt writes over it.
            let _ = self.file.set_len(begin);
        })?;
        failpoint::at("daemon::event-log::written");
        Ok(())
    }

    /// Returns once the disk has what was appended. The kernel may forget pages that it could not write, and a second
    /// sync would then succeed without them: after a failure they have to be appended again.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        failpoint::io("daemon::event-log::sync")?;
        self.file.sync_data()?;
        failpoint::at("daemon::event-log::synced");
        if self.folder_unsynced {
            sync_folder(&self.path)?;
            self.folder_unsynced = false;
        }
        self.unsure_from = None;
        Ok(())
    }

    /// Takes away what comes after the last whole line, for which no disk is too full.
    pub(super) fn cut_torn_line(&self) -> io::Result<()> {
        let mut contents = Vec::new();
        File::open(&self.path)?.read_to_end(&mut contents)?;
        let whole = contents.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < contents.len() { self.file.set_len(whole as u64) } else { Ok(()) }
    }

    /// Replaces the log by these events: written beside it, synced, renamed.
    pub(super) fn rewrite<'a>(&mut self, events: impl Iterator<Item = &'a Event>) -> io::Result<()> {
        let temporary = self.path.with_extension("log.new");
        let lines: Vec<u8> = events.flat_map(encode).collect();
        let written = write_beside(&temporary, &self.path, &lines);
        // From the rename on this is the log, whatever becomes of the next step.
        self.file = written.inspect_err(|_| {
            // Best effort: the error that matters is the one being returned.
            let _ = std::fs::remove_file(&temporary);
        })?;
        self.unsure_from = None;
        self.folder_unsynced = true;
        sync_folder(&self.path)?;
        self.folder_unsynced = false;
        Ok(())
    }
}

fn write_beside(temporary: &Path, path: &Path, contents: &[u8]) -> io::Result<File> {
    failpoint::io("daemon::event-log::rewrite-open")?;
    let mut file = open(temporary, true)?;
    failpoint::io("daemon::event-log::rewrite-write")?;
    file.write_all(contents)?;
    failpoint::io("daemon::event-log::rewrite-sync")?;
    file.sync_data()?;
    failpoint::io("daemon::event-log::rewrite-rename")?;
    std::fs::rename(temporary, path)?;
    failpoint::at("daemon::event-log::rewrite-renamed");
    Ok(file)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn open(path: &Path, truncate: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.create(true).mode(FILE_MODE.bits()).write(true).truncate(truncate).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_lines_of_0_2_and_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.log");
        std::fs::write(
            &path,
            concat!(
                r#"{"id":"a","type":"start-container","timestamp":"2016-05-02T11:02:15.5+02:00"}"#,
                "\n",
                r#"{"id":"a","type":"exit","timestamp":"2016-05-02T11:02:16Z","pid":"init","status":-1}"#,
                "\n",
                r#"{"id":"a","type":"live","timestamp":"2016-05-02T11:02:16Z"}"#,
                "\n{\"id\":\"torn"
            ),
        )
        .unwrap();
        let contents = read(&path).unwrap();
        assert_eq!((contents.events.len(), contents.damaged_lines), (2, 2));
        assert_eq!((contents.events[1].process.as_str(), contents.events[1].status), ("init", 255));

        let key = Some(ProcessKey { system_pid: 7, start_time: 99 });
        let own = Event { key, status: 42, ..contents.events[1].clone() };
        let mut log = LogFile::open(&path).unwrap();
        log.rewrite(contents.events.iter()).unwrap();
        log.append(&encode(&own)).unwrap();
        let again = read(&path).unwrap();
        assert_eq!((again.events.len(), again.damaged_lines), (3, 0));
        assert_eq!(again.events[2], own);
    }

    #[test]
    fn what_a_failure_left_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.log");
        let mut log = LogFile::open(&path).unwrap();
        log.append(b"{}\n").unwrap();
        log.sync().unwrap();
        // As after a sync that failed: nothing says whether the disk has them.
        log.append(b"[1]\n").unwrap();
        log.append(b"[1]\n").unwrap();
        log.sync().unwrap();
        log.append(b"[2]\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"{}\n[1]\n[2]\n");
    }

    #[test]
    fn a_line_without_its_end_is_torn_and_can_be_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.log");
        let line = r#"{"id":"a","type":"exit","timestamp":"2016-05-02T11:02:16Z","pid":"init","status":1}"#;
        std::fs::write(&path, format!("{line}\n{line}")).unwrap();
        let contents = read(&path).unwrap();
        assert_eq!((contents.events.len(), contents.damaged_lines), (1, 1));
        LogFile::open(&path).unwrap().cut_torn_line().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{line}\n"));
    }

    #[test]
    fn a_rewrite_that_fails_leaves_the_log_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.log");
        let mut log = LogFile::open(&path).unwrap();
        log.append(b"{}\n").unwrap();
        // The rename fails.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        log.rewrite(std::iter::empty()).unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_huge_line_costs_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.log");
        std::fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
        let contents = read(&path).unwrap();
        assert_eq!((contents.events.len(), contents.damaged_lines), (0, 1));
    }
}

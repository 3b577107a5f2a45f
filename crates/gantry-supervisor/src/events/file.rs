//! `events.log`: one JSON object a line, as 0.2 wrote it (0.2 specification, section 5.6), with `systemPid` and
//! `startTime` added to starts and exits.

use super::{Event, EventKind, ProcessKey, Timestamp};
use gantry_record::failpoint;
use gantry_record::layout::FILE_MODE;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
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
    /// Where the last whole line ends, in bytes.
    pub whole_bytes: u64,
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
        let Read { consumed, ended } = read_line(&mut reader, &mut line)?;
        if consumed == 0 {
            return Ok(contents);
        }
        if ended {
            contents.whole_bytes += consumed as u64;
        }
        match decode(&line) {
            Some(event) => contents.events.push(event),
            None => contents.damaged_lines += 1,
        }
    }
}

/// What [`read_line`] has taken from its reader.
struct Read {
    /// Bytes.
    consumed: usize,
    /// Whether the last of them was a newline.
    ended: bool,
}

/// Reads up to and with a newline; keeps only [`MAX_LINE_BYTES`] of it.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Read> {
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
            return Ok(Read { consumed, ended: end.is_some() });
        }
    }
}

/// A log that is open for appending.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// Where the last whole line ends, while something torn may follow it.
    torn_at: Option<u64>,
}

impl LogFile {
    /// Opens a log for appending.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: open(path, false)?, torn_at: None })
    }

    /// Appends whole lines, or nothing: what a full disk has taken of them is taken back, for the next line would be
    /// lost with a torn one.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.mend()?;
        failpoint::io("daemon::event-log::write")?;
        // Asked for each time: somebody may have emptied the file meanwhile.
        let before = self.file.metadata()?.len();
        self.file.write_all(lines).inspect_err(|_| {
            self.torn_at = Some(before);
            // The error that matters is the one being returned; the next call tries again.
            let _ = self.mend();
        })?;
        failpoint::at("daemon::event-log::written");
        Ok(())
    }

    /// Cuts off what follows the byte `whole`.
    pub(super) fn cut(&mut self, whole: u64) -> io::Result<()> {
        self.torn_at = Some(whole);
        self.mend()
    }

    fn mend(&mut self) -> io::Result<()> {
        if let Some(whole) = self.torn_at {
            self.file.set_len(whole)?;
            self.torn_at = None;
        }
        Ok(())
    }

    /// Returns once the disk has what was appended.
    pub(super) fn sync(&self) -> io::Result<()> {
        failpoint::io("daemon::event-log::sync")?;
        self.file.sync_data()?;
        failpoint::at("daemon::event-log::synced");
        Ok(())
    }

    /// Replaces the log by these events: written beside it, synced, renamed.
    pub(super) fn rewrite<'a>(&mut self, events: impl Iterator<Item = &'a Event>) -> io::Result<()> {
        let temporary = self.path.with_extension("log.new");
        let lines: Vec<u8> = events.flat_map(encode).collect();
        self.file = replace(&temporary, &self.path, &lines).inspect_err(|_| {
            // It takes room that somebody waits for.
            let _ = std::fs::remove_file(&temporary);
        })?;
        self.torn_at = None;
        Ok(())
    }
}

fn replace(temporary: &Path, path: &Path, contents: &[u8]) -> io::Result<File> {
    failpoint::io("daemon::event-log::rewrite-open")?;
    let mut file = open(temporary, true)?;
    failpoint::io("daemon::event-log::rewrite-write")?;
    file.write_all(contents)?;
    failpoint::io("daemon::event-log::rewrite-sync")?;
    file.sync_data()?;
    failpoint::io("daemon::event-log::rewrite-rename")?;
    std::fs::rename(temporary, path)?;
    failpoint::at("daemon::event-log::rewrite-renamed");
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

fn open(path: &Path, truncate: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.create(true).append(true).mode(FILE_MODE.bits());
    let file = options.open(path)?;
    if truncate {
        file.set_len(0)?;
    }
    Ok(file)
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
    fn a_torn_line_is_known_and_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.log");
        let event = Event::of_container(EventKind::Pause, "a");
        let whole = encode(&event);
        std::fs::write(&path, [&whole[..], &whole[..whole.len() - 1]].concat()).unwrap();
        let contents = read(&path).unwrap();
        assert_eq!(contents.whole_bytes, whole.len() as u64);
        let mut log = LogFile::open(&path).unwrap();
        log.cut(contents.whole_bytes).unwrap();
        log.append(&whole).unwrap();
        let again = read(&path).unwrap();
        assert_eq!(
            (again.events.len(), again.damaged_lines, again.whole_bytes),
            (2, 0, 2 * whole.len() as u64)
        );
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

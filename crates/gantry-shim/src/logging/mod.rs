//! Logging a process's output without a further process: line by line into a file ([`gantry_record::container_log`]).
//!
//! The process writes into a FIFO of its folder, as it would into a client's, and the shim is the client. Without a log
//! target nothing of this exists. Buffers are allocated once; what is never touched of them costs nothing.

mod copy;
mod file;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod journal;
mod lines;
mod source;

use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Ready, Source as Event};
use file::LogFile;
use gantry_record::container_log::{HEADER_BYTES, LogTarget, MAX_TEXT_BYTES, Stream};
use gantry_record::layout::{FILE_MODE, name};
use gantry_record::{ProcessRecord, fifo};
use journal::Journal;
use lines::Tail;
use rustix::io::Errno;
use source::{Glass, Source};
use std::path::Path;
use std::time::Instant;

/// How much of a FIFO is looked at at once: no less than the longest text and what shows that it is too long.
const INPUT_BYTES: usize = 32 << 10;

/// How much is appended at once: no less than the longest record.
const OUTPUT_BYTES: usize = 32 << 10;

const _: () = assert!(INPUT_BYTES > MAX_TEXT_BYTES && OUTPUT_BYTES > HEADER_BYTES + MAX_TEXT_BYTES);

/// How many complaints there may be in a shim's life: a disk that is full again and again must not fill its log too.
const MAX_COMPLAINTS: usize = 20;

/// Which streams are to be logged where.
pub(crate) struct Plan {
    streams: [Option<(Stream, LogTarget)>; 2],
}

/// The streams that are logged, and their files.
pub(crate) struct Logger {
    /// Each with the number of its log.
    sources: Vec<(Source, usize)>,
    logs: Vec<Log>,
    glass: Glass,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Nothing if there was no room for one.
    journal: Option<Journal>,
    /// Whether there may be more than has been looked at.
    more: bool,
    complaints: Complaints,
}

/// A file, and what could not be written to it.
struct Log {
    file: LogFile,
    dropped: u64,
    /// Why the last record was dropped.
    reason: Errno,
}

/// What goes wrong, for the shim's own log.
#[derive(Default)]
struct Complaints {
    new: Vec<String>,
    last: String,
    count: usize,
}

impl Plan {
    /// Takes the log targets out of the record and puts FIFOs of the process's folder in their places. Nothing where
    /// there are none. With a terminal there is no standard error.
    pub(crate) fn take(record: &mut ProcessRecord) -> Result<Option<Self>> {
        let terminal = record.terminal();
        let stdout = exchange(&mut record.stdout, Stream::Stdout)?;
        let stderr = if terminal { None } else { exchange(&mut record.stderr, Stream::Stderr)? };
        if let (Some((_, one)), Some((_, other))) = (&stdout, &stderr)
            && one.path == other.path
            && one != other
        {
            return Err(Error::TwoLimits { path: one.path.clone() });
        }
        let any = stdout.is_some() || stderr.is_some();
        Ok(any.then_some(Self { streams: [stdout, stderr] }))
    }
}

fn exchange(path: &mut String, stream: Stream) -> Result<Option<(Stream, LogTarget)>> {
    let Some(target) = LogTarget::of_stream(path)? else { return Ok(None) };
    fifo_of(stream).clone_into(path);
    Ok(Some((stream, target)))
}

fn fifo_of(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => name::STDOUT,
        Stream::Stderr => name::STDERR,
    }
}

impl Logger {
    /// Makes the FIFOs and opens the files, before there is a process.
    pub(crate) fn create(events: &EventLoop, plan: Plan) -> Result<Self> {
        for (stream, _) in plan.streams.iter().flatten() {
            fifo::make(Path::new(fifo_of(*stream)), FILE_MODE)?;
        }
        let mut logger = Self::open(events, plan, |target, _| LogFile::open(target))?;
        logger.journal = Journal::create().ok();
        logger.end_lines();
        Ok(logger)
    }

    /// Goes on where a shim that died has stopped.
    pub(crate) fn again(events: &EventLoop, plan: Plan) -> Result<Self> {
        let mut logger = Self::open(events, plan, |target, complaints| {
            // Tried again with each line.
            Ok(LogFile::take_over(&target).unwrap_or_else(|error| {
                complaints.add(error.to_string());
                LogFile::closed(target)
            }))
        })?;
        if let Ok(journal) = Journal::again() {
            logger.recover(&journal);
            logger.journal = Some(journal);
        }
        logger.end_lines();
        Ok(logger)
    }

    fn open(
        events: &EventLoop,
        plan: Plan,
        open: impl Fn(LogTarget, &mut Complaints) -> Result<LogFile>,
    ) -> Result<Self> {
        let mut complaints = Complaints::default();
        let (mut sources, mut logs) = (Vec::new(), Vec::<Log>::new());
        for (stream, target) in plan.streams.into_iter().flatten() {
            let same = logs.iter().position(|log| log.file.path() == target.path);
            let number = same.unwrap_or(logs.len());
            if same.is_none() {
                logs.push(Log { file: open(target, &mut complaints)?, dropped: 0, reason: Errno::IO });
            }
            sources.push((Source::open(events, stream, fifo_of(stream))?, number));
        }
        let (input, output) = (Vec::with_capacity(INPUT_BYTES), Vec::with_capacity(OUTPUT_BYTES));
        let glass = Glass::new()?;
        Ok(Self { sources, logs, glass, input, output, journal: None, more: true, complaints })
    }

    fn end_lines(&mut self) {
        for log in &mut self.logs {
            log.file.end_line();
        }
    }

    /// When logging can go on without waiting for an event.
    pub(crate) fn again_at(&self) -> Option<Instant> {
        self.more.then(Instant::now)
    }

    /// Logs what has come, if something has; whether that has made room in a FIFO.
    pub(crate) fn copy_if(&mut self, ready: Ready) -> bool {
        (self.more || ready.has(Event::Log)) && self.copy(Tail::Wait)
    }

    /// Where others wait for the hang-up of the FIFOs, this end of theirs must not keep them from it.
    pub(crate) fn close_writers(&mut self) {
        for (source, _) in &mut self.sources {
            source.close_writer();
        }
    }

    /// What has gone wrong since the last time.
    pub(crate) fn take_complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints.new)
    }
}

impl Complaints {
    fn add(&mut self, complaint: String) {
        if self.count < MAX_COMPLAINTS && self.last != complaint {
            self.count += 1;
            self.last.clone_from(&complaint);
            self.new.push(complaint);
        }
    }
}

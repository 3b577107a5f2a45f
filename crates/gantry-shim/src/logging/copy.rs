//! From the FIFOs to the files.

use super::file::Position;
use super::journal::{Batch, Dropped, Journal};
use super::lines::{self, Headers, Tail, Taken};
use super::source::{Glass, Source};
use super::{Complaints, INPUT_BYTES, Log, Logger, OUTPUT_BYTES};
use gantry_record::container_log::{LogRecord, Stream};
use gantry_record::error::errno_text;
use gantry_record::failpoint;
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How many times a FIFO is looked at before others have their turn.
const ROUNDS: usize = 16;

/// No pipe becomes larger, unless an administrator allows it (`/proc/sys/fs/pipe-max-size`, pipe(7)).
const MAX_FIFO_BYTES: usize = 1 << 20;

impl Logger {
    /// Logs what has come, and says whether that was anything.
    pub(super) fn copy(&mut self, tail: Tail) -> bool {
        self.more = false;
        let mut any = false;
        for number in 0..self.sources.len() {
            let rounds = (0..ROUNDS).take_while(|_| self.look(number, tail)).count();
            any |= rounds > 0;
            self.more |= rounds == ROUNDS;
        }
        any
    }

    /// Logs all that is there, once the process has ended, and lets go of the files.
    pub(crate) fn finish(mut self) -> Vec<String> {
        // If somebody still writes, this is as much as was there at the beginning.
        for _ in 0..=MAX_FIFO_BYTES / INPUT_BYTES {
            if !self.copy(Tail::Finish) {
                break;
            }
        }
        for log in self.logs.iter_mut().filter(|log| log.dropped > 0) {
            let note = log.note(now(), Stream::Stderr);
            if log.file.append([&note, b""]).is_err() {
                self.complaints.add(format!("{}: {}", log.file.path().display(), log.loss()));
            }
        }
        self.take_complaints()
    }

    /// Logs what one look at a source shows; whether that was anything.
    fn look(&mut self, number: usize, tail: Tail) -> bool {
        let Self { sources, logs, glass, input, output, journal, complaints, .. } = self;
        let Some((source, number)) = sources.get(number) else { return false };
        source.look(glass, input);
        let time = now();
        let headers = Headers::new(time, source.stream);
        let mut done = 0;
        loop {
            let limit = logs.get(*number).map_or(0, |log| log.file.room()).min(OUTPUT_BYTES);
            let rest = input.get(done..).unwrap_or_default();
            let mut taken = lines::take(rest, &headers, Tail::Wait, limit, output);
            // What follows whole lines is looked at again by itself.
            if taken.records == 0 && done == 0 {
                match tail_of(source, glass, input, tail) {
                    Some(Tail::Wait) => return false,
                    Some(tail) => taken = lines::take(input, &headers, tail, limit, output),
                    None => continue,
                }
            }
            let begin = done;
            done += taken.bytes;
            let Some(bytes) = input.get_mut(begin..done).filter(|bytes| !bytes.is_empty()) else {
                return done > 0;
            };
            let piece = Piece { stream: source.stream, time, taken, records: output };
            append(logs, *number, journal.as_ref(), complaints, &piece);
            failpoint::at("shim::log::appended");
            source.take(bytes);
            failpoint::at("shim::log::taken");
            if let Some(journal) = journal {
                journal.done(dropped(logs));
            }
            output.clear();
        }
    }

    /// Finds out what has become of the batch that the dead shim was busy with ([`super::journal`]).
    pub(super) fn recover(&mut self, journal: &Journal) {
        let (batch, dropped_before) = journal.read();
        for (log, dropped) in self.logs.iter_mut().zip(dropped_before) {
            log.dropped = dropped;
        }
        let Self { sources, logs, glass, input, output, .. } = self;
        let Some(Batch { stream, bytes, begin, note_bytes, end }) = batch else { return };
        let Some((source, number)) = sources.iter().find(|(source, _)| source.stream == stream) else {
            return;
        };
        let Some(Log { file, dropped: lost, .. }) = logs.get_mut(*number) else { return };
        let records = Position { offset: begin.offset.saturating_add(note_bytes), ..begin };
        let length = usize::try_from(end.saturating_sub(records.offset)).unwrap_or(usize::MAX);
        if !file.reaches(Position { offset: end, ..begin }) {
            file.cut(begin);
        } else if let Ok(bytes) = usize::try_from(bytes)
            && length <= OUTPUT_BYTES
        {
            *lost = 0;
            source.look(glass, input);
            output.resize(length, 0);
            if file.read(records, output) && lines::are_of(output, bytes, input) {
                input.truncate(bytes);
                source.take(input);
            }
            output.clear();
        }
        journal.done(dropped(logs));
    }
}

/// Records made of one piece of a stream.
struct Piece<'a> {
    stream: Stream,
    time: Duration,
    taken: Taken,
    records: &'a [u8],
}

/// What is to become of the beginning of a line, which is all that could be seen. Nothing if that is more now.
fn tail_of(source: &Source, glass: &Glass, input: &mut Vec<u8>, tail: Tail) -> Option<Tail> {
    let seen = input.len();
    if seen == 0 {
        return Some(Tail::Wait);
    }
    if source.has_unseen(seen) {
        glass.widen(source);
        source.look(glass, input);
        // If not, the rest can't be seen before this is out of the way.
        return (input.len() <= seen).then_some(Tail::Cut);
    }
    Some(if tail == Tail::Wait && source.is_full() { Tail::Cut } else { tail })
}

/// Appends records to a log, or counts them as dropped: nothing that happens to the log must stop the process.
fn append(
    logs: &mut [Log],
    number: usize,
    journal: Option<&Journal>,
    complaints: &mut Complaints,
    piece: &Piece<'_>,
) {
    let before = dropped(logs);
    let Some(log) = logs.get_mut(number) else { return };
    let note = if log.dropped > 0 { log.note(piece.time, piece.stream) } else { Vec::new() };
    let bytes = note.len() + piece.records.len();
    // A log that is not open is told of when appending to it fails; one that can't be set aside goes on growing.
    if log.file.reopen().is_ok()
        && let Err(errno) = log.file.make_room(bytes)
    {
        complaints.add(log.complaint("cannot be set aside", errno));
    }
    if let Some(journal) = journal {
        let begin = log.file.end();
        let note_bytes = note.len() as u64;
        let batch = Batch {
            stream: piece.stream,
            bytes: piece.taken.bytes as u64,
            begin,
            note_bytes,
            end: begin.offset + bytes as u64,
        };
        failpoint::at("shim::log::room-made");
        journal.begin(&batch, before);
        failpoint::at("shim::log::journaled");
    }
    match log.file.append([&note, piece.records]) {
        Ok(()) => log.dropped = 0,
        Err(errno) => {
            if log.dropped == 0 {
                complaints.add(log.complaint("cannot be written, so lines are dropped until it can", errno));
            }
            log.dropped += piece.taken.records;
            log.reason = errno;
        }
    }
}

impl Log {
    /// The record that tells of what was dropped.
    fn note(&self, time: Duration, stream: Stream) -> Vec<u8> {
        let mut note = LogRecord::header(time, stream, false).to_vec();
        note.extend_from_slice(format!("gantry: {}\n", self.loss()).as_bytes());
        note
    }

    fn complaint(&self, problem: &str, errno: Errno) -> String {
        format!("the log {} {problem}: {}", self.file.path().display(), errno_text(&errno.into()))
    }

    fn loss(&self) -> String {
        format!("{} lines of output were dropped: {}", self.dropped, errno_text(&self.reason.into()))
    }
}

/// How much each log has lost.
fn dropped(logs: &[Log]) -> Dropped {
    let mut dropped = Dropped::default();
    for (number, log) in dropped.iter_mut().zip(logs) {
        *number = log.dropped;
    }
    dropped
}

fn now() -> Duration {
    let now = clock_gettime(ClockId::Realtime);
    // A clock before 1970 is set wrong, and a nanosecond has nine digits.
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

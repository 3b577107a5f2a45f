//! What was asked for, what may come of it, and what was told: each start and each exit once, with a status that is true.

mod check;
mod problem;

pub(super) use problem::{Problem, Wrong};

use check::difference;
use gantry_api::types::Event;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What SIGKILL ends with, and what is told when nobody could know.
pub(super) const KILLED: u32 = 137;
pub(super) const UNKNOWN: u32 = 255;
/// What SIGHUP ends with.
const HUNG_UP: u32 = 129;

/// What a client knows of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Waiting,
    /// It was told that the process runs.
    Started,
    /// It was told that the process was not started.
    Refused,
    /// The connection broke: either may be.
    Unknown,
}

#[derive(Debug)]
struct Record {
    answer: Answer,
    allowed: BTreeSet<u32>,
    starts: usize,
    exits: usize,
    status: Option<u32>,
    terminal: bool,
}

/// One container.
#[derive(Debug)]
struct Life {
    began: Instant,
    processes: BTreeMap<String, Record>,
    history: Vec<String>,
    /// Its init may end at any time, and with it every exec.
    ending: bool,
    /// A fault was aimed at it.
    harmed: bool,
    over: bool,
}

#[derive(Debug, Default)]
struct Inner {
    lives: BTreeMap<String, Life>,
    events: Vec<Event>,
    problems: Vec<Problem>,
    checked: usize,
    unknown: usize,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    inner: Mutex<Inner>,
}

/// Sums for the report.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) events: usize,
    pub(super) starts: usize,
    pub(super) exits: usize,
    /// Exits that were told as 255.
    pub(super) unknown: usize,
    pub(super) live: usize,
}

// === impl Life ===

impl Life {
    fn note(&mut self, text: impl fmt::Display) {
        self.history.push(format!("{:9.3} {text}", self.began.elapsed().as_secs_f64()));
    }
}

// === impl Ledger ===

impl Ledger {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process is about to be asked for, which ends with one of these.
    pub(super) fn ask(&self, container: &str, process: &str, allowed: &[u32], what: &str) {
        let mut inner = self.inner();
        let life = inner.lives.entry(container.to_owned()).or_insert_with(|| Life {
            began: Instant::now(),
            processes: BTreeMap::new(),
            history: Vec::new(),
            ending: false,
            harmed: false,
            over: false,
        });
        life.note(format_args!("asked for {process}: {what}, allowed {allowed:?}"));
        let mut allowed: BTreeSet<u32> = allowed.iter().copied().collect();
        if process != "init" && life.ending {
            allowed.insert(KILLED);
        }
        let record =
            Record { answer: Answer::Waiting, allowed, starts: 0, exits: 0, status: None, terminal: false };
        life.processes.insert(process.to_owned(), record);
    }

    /// A process that was asked for has a terminal, which hangs up when its shim dies.
    pub(super) fn has_terminal(&self, container: &str, process: &str) {
        let mut inner = self.inner();
        let life = inner.lives.get_mut(container);
        if let Some(record) = life.and_then(|life| life.processes.get_mut(process)) {
            record.terminal = true;
        }
    }

    /// The shim of a process is about to be killed: so is the process, and perhaps nobody can tell how it ended.
    pub(super) fn shim_killed(&self, container: &str, process: &str) {
        let has_terminal = {
            let inner = self.inner();
            inner
                .lives
                .get(container)
                .and_then(|life| life.processes.get(process))
                .is_some_and(|r| r.terminal)
        };
        let why = "its shim is killed";
        self.may_end(container, process, KILLED, why);
        self.may_end(container, process, UNKNOWN, why);
        if has_terminal {
            self.may_end(container, process, HUNG_UP, why);
        }
    }

    fn answer(&self, container: &str, process: &str, answer: Answer, text: &str) {
        let mut inner = self.inner();
        let Some(life) = inner.lives.get_mut(container) else { return };
        life.note(format_args!("{process}: {answer:?} {text}"));
        if let Some(record) = life.processes.get_mut(process) {
            record.answer = answer;
        }
    }

    pub(super) fn started(&self, container: &str, process: &str, pid: u32) {
        self.answer(container, process, Answer::Started, &format!("as {pid}"));
    }

    pub(super) fn refused(&self, container: &str, process: &str, error: &str) {
        self.answer(container, process, Answer::Refused, error);
    }

    pub(super) fn unknown(&self, container: &str, process: &str, error: &str) {
        self.answer(container, process, Answer::Unknown, error);
    }

    /// Something for the history alone.
    pub(super) fn note(&self, container: &str, text: impl fmt::Display) {
        if let Some(life) = self.inner().lives.get_mut(container) {
            life.note(text);
        }
    }

    /// From now on a process may end with this status too; said before that can happen.
    pub(super) fn may_end(&self, container: &str, process: &str, status: u32, why: &str) {
        let mut inner = self.inner();
        let Some(life) = inner.lives.get_mut(container) else { return };
        life.note(format_args!("{process} may end with {status}: {why}"));
        if let Some(record) = life.processes.get_mut(process) {
            record.allowed.insert(status);
        }
        if process == "init" {
            // The kernel ends what is in the pid namespace.
            life.ending = true;
            for (name, record) in &mut life.processes {
                if name != "init" {
                    record.allowed.insert(KILLED);
                }
            }
        }
    }

    /// A fault is aimed at a container: its operations may fail.
    pub(super) fn harm(&self, container: &str, what: &str) {
        if let Some(life) = self.inner().lives.get_mut(container) {
            life.harmed = true;
            life.note(what);
        }
    }

    /// Whether its init may have ended by now.
    pub(super) fn is_ending(&self, container: &str) -> bool {
        self.inner().lives.get(container).is_some_and(|life| life.ending)
    }

    pub(super) fn is_harmed(&self, container: &str) -> bool {
        self.inner().lives.get(container).is_some_and(|life| life.harmed)
    }

    pub(super) fn knows(&self, container: &str) -> bool {
        self.inner().lives.contains_key(container)
    }

    /// Whether the start of the container's init was told.
    pub(super) fn has_started(&self, container: &str) -> bool {
        let inner = self.inner();
        inner.lives.get(container).and_then(|life| life.processes.get("init")).is_some_and(|r| r.starts > 0)
    }

    /// Whether the exit of the container's init was told.
    pub(super) fn is_over(&self, container: &str) -> bool {
        self.inner().lives.get(container).is_some_and(|life| life.over)
    }

    /// The status that was told of a container's end.
    pub(super) fn exit_of(&self, container: &str) -> Option<u32> {
        self.inner().lives.get(container)?.processes.get("init")?.status
    }

    pub(super) fn problem(&self, wrong: Wrong, container: Option<&str>, text: impl Into<String>) {
        self.inner().problem(wrong, container, text.into());
    }

    /// The moment up to which everything was told.
    pub(super) fn last_timestamp(&self) -> Option<prost_types::Timestamp> {
        self.inner().events.last().and_then(|event| event.timestamp)
    }

    /// Takes the next event in the order in which they were told.
    pub(super) fn event(&self, event: Event) {
        let mut inner = self.inner();
        if let Some((wrong, text)) = inner.take(&event) {
            inner.problem(wrong, Some(&event.id), text);
        }
        inner.events.push(event);
    }

    pub(super) fn sums(&self) -> Sums {
        let inner = self.inner();
        let count = |kind: &str| inner.events.iter().filter(|event| event.r#type.starts_with(kind)).count();
        let is_live = |life: &&Life| {
            !life.over && life.processes.get("init").is_some_and(|record| record.answer == Answer::Started)
        };
        Sums {
            events: inner.events.len(),
            starts: count("start-"),
            exits: inner.checked,
            unknown: inner.unknown,
            live: inner.lives.values().filter(is_live).count(),
        }
    }

    /// How many starts wait for their exit, told starts included that have no event yet.
    pub(super) fn open(&self) -> usize {
        let inner = self.inner();
        let records = inner.lives.values().flat_map(|life| life.processes.values());
        let is_open = |r: &&Record| r.starts > r.exits || (r.answer == Answer::Started && r.starts == 0);
        records.filter(is_open).count()
    }

    /// The last check, when everything has ended: nothing is open, and the log holds what was told.
    pub(super) fn close(&self, replay: &[Event]) {
        let mut inner = self.inner();
        let mut found = Vec::new();
        for (id, life) in &inner.lives {
            for (process, record) in &life.processes {
                if record.answer == Answer::Started && record.starts == 0 {
                    found.push((
                        Wrong::Lost,
                        id.clone(),
                        format!("{id} {process} was answered, and has no start event"),
                    ));
                }
                if record.starts > 0 && record.exits == 0 {
                    found.push((
                        Wrong::Lost,
                        id.clone(),
                        format!("{id} {process} was started, and has no exit"),
                    ));
                }
                if record.answer == Answer::Refused && record.starts > 0 {
                    let text = format!("{id} {process} was refused to its client, and has a start event");
                    found.push((Wrong::Order, id.clone(), text));
                }
            }
        }
        for (wrong, id, text) in found {
            inner.problem(wrong, Some(&id), text);
        }
        if let Some((text, id)) = difference(&inner.events, replay) {
            inner.problem(Wrong::Order, id.as_deref(), text);
        }
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        self.inner().problems.clone()
    }

    /// All that happened to a container, a line each.
    pub(super) fn history(&self, container: &str) -> Vec<String> {
        self.inner().lives.get(container).map(|life| life.history.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;

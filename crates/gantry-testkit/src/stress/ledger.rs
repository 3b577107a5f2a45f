//! What was asked for, what may come of it, and what was told: each start and each exit once, with a status that is true.

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

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wrong {
    /// A start that was told to its client without an event, or a start without an exit.
    Lost,
    /// A start or an exit that was told twice.
    Doubled,
    /// A status that cannot be true.
    Status,
    /// Events that cannot follow each other, or of what nobody asked for, or that a replay tells otherwise.
    Order,
    /// Something remains.
    Leak,
    /// The daemon, a shim or this command itself panicked, or the daemon ended by itself.
    Panic,
    /// An operation failed, or did not end, with no fault near.
    Refused,
    /// Bytes that a container wrote did not arrive.
    Output,
}

#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) wrong: Wrong,
    pub(super) container: Option<String>,
    pub(super) text: String,
}

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

/// Where what was seen live and what the log holds part ways.
fn difference(seen: &[Event], replay: &[Event]) -> Option<(String, Option<String>)> {
    let at = seen.iter().zip(replay).position(|(seen, stored)| seen != stored);
    let at = at.or_else(|| (seen.len() != replay.len()).then(|| seen.len().min(replay.len())))?;
    let shown = |event: Option<&Event>| event.map_or_else(|| "nothing".to_owned(), show);
    let id = seen.get(at).or_else(|| replay.get(at)).map(|event| event.id.clone());
    let text = format!(
        "event {at} of {} was told as {}, and the log with its {} says {}",
        seen.len(),
        shown(seen.get(at)),
        replay.len(),
        shown(replay.get(at))
    );
    Some((text, id))
}

fn show(event: &Event) -> String {
    format!("{} {} {} {}", event.r#type, event.id, event.pid, event.status)
}

// === impl Inner ===

impl Inner {
    fn problem(&mut self, wrong: Wrong, container: Option<&str>, text: String) {
        if let Some(life) = container.and_then(|id| self.lives.get_mut(id)) {
            life.note(format_args!("!! {wrong:?}: {text}"));
        }
        eprintln!("stress: {wrong:?}: {text}");
        self.problems.push(Problem { wrong, container: container.map(ToOwned::to_owned), text });
    }

    /// Compares one event with what may come; what is wrong with it.
    fn take(&mut self, event: &Event) -> Option<(Wrong, String)> {
        let shown = show(event);
        let Some(life) = self.lives.get_mut(&event.id) else {
            return Some((Wrong::Order, format!("{shown}: nobody asked for this container")));
        };
        life.note(format_args!("event {shown}"));
        let process = if event.pid.is_empty() { "init" } else { event.pid.as_str() };
        let over = life.over;
        let runs = life.processes.get("init").is_some_and(|init| init.starts > init.exits);
        let others = life.processes.iter().any(|(name, r)| name != "init" && r.starts > r.exits);
        let Some(record) = life.processes.get_mut(process) else {
            return Some((Wrong::Order, format!("{shown}: nobody asked for this process")));
        };
        match event.r#type.as_str() {
            "start-container" | "start-process" => {
                record.starts += 1;
                if record.starts > 1 {
                    return Some((Wrong::Doubled, format!("{shown}: started {} times", record.starts)));
                }
                (event.r#type == "start-process" && !runs)
                    .then(|| (Wrong::Order, format!("{shown}: its container does not run")))
            }
            "exit" => {
                record.exits += 1;
                record.status = Some(event.status);
                self.checked += 1;
                self.unknown += usize::from(event.status == UNKNOWN);
                life.over |= process == "init";
                if record.exits > 1 {
                    return Some((Wrong::Doubled, format!("{shown}: ended {} times", record.exits)));
                }
                if record.starts == 0 {
                    return Some((Wrong::Order, format!("{shown}: an exit without a start")));
                }
                if !record.allowed.contains(&event.status) {
                    return Some((
                        Wrong::Status,
                        format!("{shown}: it can only be one of {:?}", record.allowed),
                    ));
                }
                (over || (process == "init" && others))
                    .then(|| (Wrong::Order, format!("{shown}: init's exit is not the container's last")))
            }
            _ => (!runs).then(|| (Wrong::Order, format!("{shown}: its container does not run"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, process: &str, status: u32) -> Event {
        Event {
            r#type: kind.to_owned(),
            id: "c1".to_owned(),
            pid: process.to_owned(),
            status,
            timestamp: None,
        }
    }

    /// What is wrong with a container that may end with 3, after these events.
    fn wrongs(events: &[Event]) -> Vec<Wrong> {
        let ledger = Ledger::default();
        ledger.ask("c1", "init", &[3], "exits with 3");
        ledger.started("c1", "init", 1);
        for event in events {
            ledger.event(event.clone());
        }
        ledger.close(events);
        ledger.problems().into_iter().map(|problem| problem.wrong).collect()
    }

    fn start() -> Event {
        event("start-container", "", 0)
    }

    #[test]
    fn a_start_and_its_exit_are_right() {
        assert_eq!(wrongs(&[start(), event("exit", "init", 3)]), []);
    }

    #[test]
    fn lost_doubled_and_wrong_are_told_apart() {
        let exit = || event("exit", "init", 3);
        assert_eq!(wrongs(&[start()]), [Wrong::Lost]);
        assert_eq!(wrongs(&[]), [Wrong::Lost]);
        assert_eq!(wrongs(&[start(), exit(), exit()]), [Wrong::Doubled]);
        assert_eq!(wrongs(&[start(), start(), exit()]), [Wrong::Doubled]);
        assert_eq!(wrongs(&[start(), event("exit", "init", 4)]), [Wrong::Status]);
        assert_eq!(wrongs(&[start(), event("exit", "init", UNKNOWN)]), [Wrong::Status]);
        assert_eq!(wrongs(&[start(), exit(), event("pause", "", 0)]), [Wrong::Order]);
        assert_eq!(wrongs(&[start(), exit(), Event { id: "other".to_owned(), ..start() }]), [Wrong::Order]);
    }

    #[test]
    fn an_exec_ends_before_its_container_and_only_once_it_may() {
        let ledger = Ledger::default();
        ledger.ask("c1", "init", &[0], "");
        ledger.ask("c1", "e1", &[5], "");
        ledger.event(start());
        ledger.event(event("start-process", "e1", 0));
        ledger.may_end("c1", "init", KILLED, "killed");
        ledger.event(event("exit", "e1", KILLED));
        ledger.event(event("exit", "init", KILLED));
        assert!(ledger.problems().is_empty() && ledger.is_over("c1"), "{:?}", ledger.problems());

        ledger.ask("c1", "e2", &[5], "");
        ledger.event(event("start-process", "e2", 0));
        assert_eq!(ledger.problems()[0].wrong, Wrong::Order);
    }

    #[test]
    fn a_replay_that_differs_is_told() {
        let ledger = Ledger::default();
        ledger.ask("c1", "init", &[3], "");
        ledger.event(start());
        ledger.event(event("exit", "init", 3));
        ledger.close(&[start()]);
        assert_eq!(ledger.problems()[0].wrong, Wrong::Order);
        assert!(ledger.problems()[0].text.contains("says nothing"), "{:?}", ledger.problems());
    }

    #[test]
    fn a_refused_start_must_have_no_event() {
        let ledger = Ledger::default();
        ledger.ask("c1", "init", &[3], "");
        ledger.refused("c1", "init", "no");
        let events = [start(), event("exit", "init", 3)];
        events.iter().for_each(|event| ledger.event(event.clone()));
        ledger.close(&events);
        assert_eq!(ledger.problems()[0].wrong, Wrong::Order);
    }
}

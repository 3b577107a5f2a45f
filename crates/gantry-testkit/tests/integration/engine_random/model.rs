//! What must come of an operation: the answer, the events, and the state from then on.

use super::operation::{Answer, Done, Operation, SIGTERM, SIGUSR1, Target};
use super::world::Feed;
use crate::support::{Api, EventKey, KILLED, SIGKILL, SOON, host_process};
use gantry_api::types::CreateContainerRequest;
use gantry_testkit::{Bundle, Process, wait_until};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tonic::Code;

/// Waits without using the processor; its own child is what the signals find it waiting for.
pub(super) const INIT: &str = "trap 'exit 3' TERM; trap 'exit 4' USR1; echo ready; sleep 100000 & wait";

/// A container's place: its bundle, and what runs of it according to the model.
pub(super) struct Slot {
    pub(super) bundle: Bundle,
    pub(super) create: CreateContainerRequest,
    pub(super) running: Option<Running>,
    /// Its folder in the state dir.
    folder: PathBuf,
    /// Whether a process lives on when its shim is killed.
    adopts: bool,
    execs: u32,
}

/// A container that is there.
pub(super) struct Running {
    pub(super) paused: bool,
    pub(super) init: Process,
    pub(super) execs: BTreeMap<String, Process>,
}

impl Slot {
    pub(super) fn new(
        bundle: Bundle,
        create: CreateContainerRequest,
        state_dir: &Path,
        adopts: bool,
    ) -> Self {
        let folder = state_dir.join(bundle.id());
        Self { bundle, create, running: None, folder, adopts, execs: 0 }
    }

    /// An id for an exec that was not used before.
    pub(super) fn next_exec(&mut self) -> String {
        self.execs += 1;
        format!("e{}", self.execs)
    }

    pub(super) fn target(&self, operation: &Operation) -> Target {
        let process = match operation {
            Operation::KillShimOfExec(id) => id,
            _ => "init",
        };
        Target {
            id: self.bundle.id().to_owned(),
            create: self.create.clone(),
            folder: self.folder_of(process),
        }
    }

    /// The folder of a process.
    pub(super) fn folder_of(&self, process: &str) -> PathBuf {
        self.folder.join(process)
    }

    /// Status, init's pid, and the ids of all processes, as State should say.
    pub(super) fn expected(&self) -> Option<(&'static str, u32, Vec<String>)> {
        let running = self.running.as_ref()?;
        let status = if running.paused { "paused" } else { "running" };
        let ids = running.execs.keys().cloned().chain(["init".to_owned()]).collect();
        Some((status, running.init.pid.cast_unsigned(), ids))
    }

    fn key(&self, kind: &str, process: &str, status: u32) -> EventKey {
        (kind.to_owned(), self.bundle.id().to_owned(), process.to_owned(), status)
    }

    fn expect(&self, feed: &mut Feed, kind: &str, process: &str, status: u32) {
        let next = feed.next_of(self.bundle.id());
        assert_eq!(next, self.key(kind, process, status));
    }

    /// The exits of all its processes, init's last.
    fn expect_end(&mut self, feed: &mut Feed, status: u32) {
        let running = self.running.take().unwrap();
        let mut execs: Vec<EventKey> = running.execs.iter().map(|_| feed.next_of(self.bundle.id())).collect();
        execs.sort();
        let mut expected: Vec<EventKey> =
            running.execs.keys().map(|id| self.key("exit", id, KILLED)).collect();
        expected.sort();
        assert_eq!(execs, expected, "the execs of a container that ended");
        self.expect(feed, "exit", "init", status);
        assert!(!running.init.is_alive());
    }

    fn running(&mut self) -> &mut Running {
        self.running.as_mut().unwrap()
    }

    fn created(&mut self, pid: u32) {
        let output = self.bundle.path().join("output");
        // Its traps are set then.
        wait_until("init's first words", SOON, || fs::read(&output).is_ok_and(|text| !text.is_empty()));
        self.running = Some(Running { paused: false, init: host_process(pid), execs: BTreeMap::new() });
    }

    /// What a client was told, against what it must be told; then its events.
    pub(super) fn settle(&mut self, feed: &mut Feed, operation: &Operation, answer: Answer) {
        let failed = |answer: &Answer, code: Option<Code>, text: &str| {
            let error = answer.as_ref().expect_err("an operation that must fail");
            assert!(code.is_none_or(|code| code == error.code()), "{error:?}");
            assert!(error.message().contains(text), "{error:?} without {text:?}");
        };
        let gone = if self.running.is_some() { "process not found" } else { "container not found" };
        match operation {
            Operation::CreateAgain | Operation::ExecAgain(_) => {
                failed(&answer, Some(Code::AlreadyExists), "file exists");
            }
            Operation::ExecPaused => failed(&answer, None, "paused"),
            Operation::ExecNowhere => failed(&answer, None, "container not found"),
            Operation::SignalNobody => failed(&answer, None, gone),
            Operation::ResumeRunning => failed(&answer, None, ""),
            _ => {
                let done =
                    answer.unwrap_or_else(|error| panic!("{operation:?} of {}: {error:?}", self.bundle.id()));
                self.succeeded(feed, operation, done);
            }
        }
    }

    fn succeeded(&mut self, feed: &mut Feed, operation: &Operation, done: Done) {
        match (operation, done) {
            (Operation::Create, Done::Started(pid)) => {
                self.expect(feed, "start-container", "", 0);
                self.created(pid);
            }
            (Operation::Exec(id), Done::Started(pid)) => {
                self.expect(feed, "start-process", id, 0);
                self.running().execs.insert(id.clone(), host_process(pid));
            }
            (Operation::ExecShort(id, status), Done::Started(_)) => {
                self.expect(feed, "start-process", id, 0);
                self.expect(feed, "exit", id, *status);
            }
            (Operation::SignalInit(signal), _) => self.expect_end(feed, init_status(*signal)),
            (Operation::SignalExec(id, signal), _) => {
                self.expect(feed, "exit", id, 128 + signal);
                self.running().execs.remove(id);
            }
            (Operation::Pause, _) => {
                self.expect(feed, "pause", "", 0);
                self.running().paused = true;
            }
            (Operation::Resume, _) => {
                self.expect(feed, "resume", "", 0);
                self.running().paused = false;
            }
            (Operation::KillPaused, done) => {
                if done == Done::Thawed {
                    self.expect(feed, "resume", "", 0);
                }
                self.expect_end(feed, KILLED);
            }
            (Operation::KillShimOfInit | Operation::KillShimOfExec(_), _) if self.adopts => {}
            (Operation::KillShimOfInit, _) => self.expect_end(feed, KILLED),
            (Operation::KillShimOfExec(id), _) => {
                self.expect(feed, "exit", id, KILLED);
                self.running().execs.remove(id);
            }
            (Operation::Update(_), _) => {}
            other => panic!("{other:?} makes no sense"),
        }
    }

    /// The daemon was killed while it was at it, and the next one is up. What was answered holds; what was not may
    /// have happened or not, but wholly.
    pub(super) fn settle_after_crash(
        &mut self,
        api: &Api,
        feed: &mut Feed,
        operation: &Operation,
        answer: &Answer,
    ) -> &'static str {
        let id = self.bundle.id().to_owned();
        let logged = feed.peek_of(&id).map(|key| key.0.clone());
        let is_logged = |kind: &str| {
            let is_logged = logged.as_deref() == Some(kind);
            assert!(is_logged || answer.is_err(), "{operation:?} was answered and then forgotten");
            is_logged
        };
        let found = || api.state(&id).unwrap().remove(0);
        let pid_of = |process: &str| {
            let shown = found().processes.into_iter().find(|shown| shown.pid == process);
            shown
                .unwrap_or_else(|| panic!("{process} of {id} has a start event and is not listed"))
                .system_pid
        };
        match operation {
            Operation::Create if is_logged("start-container") => {
                self.succeeded(feed, operation, Done::Started(pid_of("init")));
            }
            Operation::Exec(exec) if is_logged("start-process") => {
                self.succeeded(feed, operation, Done::Started(pid_of(exec)));
            }
            Operation::ExecShort(..) if is_logged("start-process") => {
                self.succeeded(feed, operation, Done::Started(0));
            }
            Operation::Pause if is_logged("pause") => self.succeeded(feed, operation, Done::Accepted),
            Operation::Resume if is_logged("resume") => self.succeeded(feed, operation, Done::Accepted),
            Operation::Pause | Operation::Resume => {
                // Frozen or thawed, but killed before it could be said: what counts is how it is.
                self.running().paused = found().status == "paused";
                return "undecided";
            }
            Operation::SignalInit(signal) => {
                // Whether the first one arrived or not, this one leaves no doubt.
                let _ = api.signal(&id, "init", *signal);
                self.succeeded(feed, operation, Done::Accepted);
            }
            Operation::SignalExec(exec, signal) => {
                let _ = api.signal(&id, exec, *signal);
                self.succeeded(feed, operation, Done::Accepted);
            }
            Operation::KillShimOfInit | Operation::KillShimOfExec(_) => {
                self.succeeded(feed, operation, Done::Accepted);
            }
            _ => return "undecided",
        }
        "happened"
    }
}

fn init_status(signal: u32) -> u32 {
    match signal {
        SIGTERM => 3,
        SIGUSR1 => 4,
        SIGKILL => KILLED,
        other => panic!("init has no trap for signal {other}"),
    }
}

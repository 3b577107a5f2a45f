//! The daemon, its events, and all containers together.

use super::model::{INIT, Slot};
use super::operation::{Done, Operation, kill_shim, perform, request};
use crate::support::Random;
use crate::support::{Api, EventKey, Events, SIGKILL, SOON, assert_starts_and_exits_match, shown};
use gantry_api::types::Event;
use gantry_testkit::{Daemon, DaemonOptions, Leaks, Runtime, wait_until};
use rustix::process::Signal;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::thread;
use std::time::Duration;

const CONTAINERS: usize = 20;
/// The most operations at once, each on another container.
const AT_ONCE: usize = 6;

/// All events in the order of the log, each once, through all lives of the daemon.
pub(super) struct Feed {
    events: Option<Events>,
    all: Vec<Event>,
    waiting: HashMap<String, VecDeque<EventKey>>,
}

pub(super) struct World {
    daemon: Daemon,
    api: Api,
    feed: Feed,
    slots: Vec<Slot>,
    random: Random,
    leaks: Leaks,
    counts: BTreeMap<String, usize>,
    performed: usize,
}

// === impl Feed ===

impl Feed {
    /// Subscribes after the last event that was seen. What is in the log by now is here afterwards.
    fn connect(&mut self, api: &Api) {
        let last = |all: &[Event]| all.last().and_then(|event| event.timestamp);
        for event in api.stored_events(last(&self.all)) {
            self.take(event);
        }
        self.events = Some(api.events_since(last(&self.all)));
    }

    fn take(&mut self, event: Event) {
        self.all.push(event.clone());
        let queue = self.waiting.entry(event.id.clone()).or_default();
        queue.push_back((event.r#type, event.id, event.pid, event.status));
    }

    /// The next event of a container.
    pub(super) fn next_of(&mut self, container: &str) -> EventKey {
        loop {
            if let Some(key) = self.waiting.get_mut(container).and_then(VecDeque::pop_front) {
                return key;
            }
            let event = self.events.as_mut().expect("a subscription").next();
            self.take(event);
        }
    }

    /// The next event of a container, if it has come.
    pub(super) fn peek_of(&self, container: &str) -> Option<&EventKey> {
        self.waiting.get(container)?.front()
    }
}

// === impl World ===

impl World {
    /// Processes live on when their shims are killed, or not.
    pub(super) fn new(random: Random, adopts: bool) -> Self {
        // All events, so that the log can be compared with what was seen.
        let options = DaemonOptions::new(Runtime::BuiltIn).arg("--retain-count=0");
        let options = if adopts { options.arg("--on-shim-death=adopt") } else { options };
        let daemon = Daemon::start(options);
        let leaks = Leaks::snapshot(daemon.scratch());
        let slot = |number: usize| {
            let runtime = if number.is_multiple_of(5) { Runtime::Runc } else { Runtime::BuiltIn };
            let bundle = daemon.bundle().shell(INIT).memory_limit_bytes(64 << 20).pids_limit(100).build();
            let create = request(&bundle, &daemon, runtime);
            Slot::new(bundle, create, &daemon.state_dir(), adopts)
        };
        let slots = (0..CONTAINERS).map(slot).collect();
        let api = Api::connect(&daemon);
        let mut feed = Feed { events: None, all: Vec::new(), waiting: HashMap::new() };
        feed.connect(&api);
        Self { daemon, api, feed, slots, random, leaks, counts: BTreeMap::new(), performed: 0 }
    }

    /// Operations so far.
    pub(super) fn performed(&self) -> usize {
        self.performed
    }

    fn count(&mut self, what: String) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// A few operations at once, or something that happens to the daemon; then all that can be seen is compared.
    pub(super) fn step(&mut self) {
        match self.random.below(100) {
            0..=1 => {
                self.performed += 1;
                self.count("kill the daemon".to_owned());
                self.daemon.kill_hard();
                self.restart();
            }
            2 => {
                self.performed += 1;
                self.count("stop the daemon".to_owned());
                self.feed.events = None;
                self.daemon.terminate();
                self.restart();
            }
            3..=4 => self.harm_in_absence(),
            5..=8 => self.crash(),
            _ => self.operate(),
        }
        self.compare_states();
    }

    fn restart(&mut self) {
        self.daemon.restart();
        self.api = Api::connect(&self.daemon);
        self.feed.connect(&self.api);
    }

    /// Operations on some containers, one on each.
    fn choose(&mut self) -> Vec<(usize, Operation)> {
        let count = 1 + self.random.below(AT_ONCE);
        let numbers = self.random.distinct(count, CONTAINERS);
        let chosen: Vec<_> = numbers
            .into_iter()
            .map(|number| (number, Operation::choose(&mut self.random, &mut self.slots[number])))
            .collect();
        self.performed += chosen.len();
        for (_, operation) in &chosen {
            self.count(operation.name().to_owned());
        }
        chosen
    }

    fn operate(&mut self) {
        let chosen = self.choose();
        let answers: Vec<_> = thread::scope(|scope| {
            let start = |(number, operation): &(usize, Operation)| {
                let target = self.slots[*number].target(operation);
                let (api, operation) = (&self.api, operation.clone());
                scope.spawn(move || perform(api, &operation, target))
            };
            let running: Vec<_> = chosen.iter().map(start).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for ((number, operation), answer) in chosen.iter().zip(answers) {
            self.slots[*number].settle(&mut self.feed, operation, answer);
        }
    }

    /// The daemon is killed in the middle of some operations.
    fn crash(&mut self) {
        let mut chosen = self.choose();
        // Two requests one after the other: too many ways to end for one line of a model.
        chosen.retain(|(_, operation)| *operation != Operation::KillPaused);
        let moment = Duration::from_micros(u64::try_from(self.random.below(150_000)).unwrap());
        let (api, slots, daemon) = (&self.api, &self.slots, &mut self.daemon);
        let answers: Vec<_> = thread::scope(|scope| {
            let start = |(number, operation): &(usize, Operation)| {
                let target = slots[*number].target(operation);
                let operation = operation.clone();
                scope.spawn(move || perform(api, &operation, target))
            };
            let running: Vec<_> = chosen.iter().map(start).collect();
            thread::sleep(moment);
            daemon.kill_hard();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        self.restart();
        for ((number, operation), answer) in chosen.iter().zip(answers) {
            let slot = &mut self.slots[*number];
            let outcome = slot.settle_after_crash(&self.api, &mut self.feed, operation, &answer);
            self.count(format!("  daemon killed during it: {outcome}"));
        }
    }

    /// While no daemon is there, processes and shims are killed.
    fn harm_in_absence(&mut self) {
        self.daemon.kill_hard();
        let count = 1 + self.random.below(3);
        let mut harmed = Vec::new();
        for number in self.random.distinct(count, CONTAINERS) {
            let slot = &self.slots[number];
            let Some(running) = slot.running.as_ref().filter(|running| !running.paused) else { continue };
            let execs: Vec<String> = running.execs.keys().cloned().collect();
            let exec = (!execs.is_empty() && self.random.chance(50)).then(|| self.random.choose(&execs));
            let process = exec.as_ref().map_or(&running.init, |exec| &running.execs[exec]);
            let harm = if self.random.chance(50) {
                kill_shim(&slot.folder_of(exec.as_deref().unwrap_or("init")));
                exec.map_or(Operation::KillShimOfInit, Operation::KillShimOfExec)
            } else {
                process.signal(Signal::KILL);
                exec.map_or(Operation::SignalInit(SIGKILL), |exec| Operation::SignalExec(exec, SIGKILL))
            };
            harmed.push((number, harm));
        }
        self.performed += 1 + harmed.len();
        self.count(format!("kill {} in the daemon's absence", harmed.len()));
        self.restart();
        for (number, harm) in harmed {
            self.slots[number].settle(&mut self.feed, &harm, Ok(Done::Accepted));
        }
    }

    fn compare_states(&self) {
        let mut found = BTreeMap::new();
        for container in self.api.state("").unwrap() {
            let mut ids: Vec<String> = container.processes.into_iter().map(|process| process.pid).collect();
            ids.sort_by_key(|id| (id == "init", id.clone()));
            let first = container.pids.first().copied().unwrap_or_default();
            found.insert(container.id, (container.status, first, ids));
        }
        let expected: BTreeMap<_, _> = self
            .slots
            .iter()
            .filter_map(|slot| {
                let (status, pid, ids) = slot.expected()?;
                Some((slot.bundle.id().to_owned(), (status.to_owned(), pid, ids)))
            })
            .collect();
        assert_eq!(found, expected, "what is listed, and what the model has");
        let unexpected: Vec<_> = self.feed.waiting.values().flatten().collect();
        assert!(unexpected.is_empty(), "events that nothing explains: {unexpected:?}");
    }

    /// Ends all containers, and insists that the log is what was seen and that nothing is left.
    pub(super) fn end(mut self) -> String {
        for slot in &mut self.slots {
            let Some(running) = &slot.running else { continue };
            let operation =
                if running.paused { Operation::KillPaused } else { Operation::SignalInit(SIGKILL) };
            let answer = perform(&self.api, &operation, slot.target(&operation));
            slot.settle(&mut self.feed, &operation, answer);
        }
        self.compare_states();
        self.leaks.assert_clean();
        // No descriptor of any of the containers is left either.
        let open = || self.daemon.open_fds().into_iter().filter(|fd| fd.contains("/state/"));
        wait_until("closed files", SOON, || open().count() <= 2);
        self.restart();
        let log = self.api.stored_events(None);
        assert_starts_and_exits_match(&log);
        assert_eq!(shown(&log), shown(&self.feed.all), "the log, and what was seen of it");
        let counts = self.counts.iter().map(|(what, count)| format!("{count:>6} {what}"));
        let mut lines: Vec<String> = counts.collect();
        lines.push(format!("{:>6} events", log.len()));
        lines.join("\n")
    }
}

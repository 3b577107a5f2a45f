//! What the event log says of processes whose end it does not know: the last word on who they are where their own records
//! are damaged, and the list of whom an exit is still owed.

use crate::events::{Event, EventKind, EventLog, Timestamp};
use gantry_container::claims::Told;
use gantry_record::ProcessId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whoever was started, as far as the log goes back, and has not ended: by container and process.
#[derive(Debug, Default)]
pub(crate) struct Owed(Mutex<BTreeMap<String, BTreeMap<String, Told>>>, Mutex<BTreeSet<i32>>);

impl Owed {
    /// Reads the log.
    pub(crate) async fn of(log: &EventLog) -> Self {
        log.settle().await;
        let owed = Self::default();
        for event in log.subscribe(Some(Timestamp::default()), true, None).replay {
            owed.take_in(&event);
        }
        owed
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<String, Told>>> {
        // Every change is one insert or one remove.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_in(&self, event: &Event) {
        let process = match event.kind {
            EventKind::StartContainer => gantry_record::id::INIT,
            EventKind::StartProcess => &event.process,
            EventKind::Exit => return self.settle(&event.container, &event.process),
            EventKind::Pause | EventKind::Resume | EventKind::Oom => return,
        };
        // Daemons of 0.2 wrote no pids: of theirs nothing can be told.
        let Some(key) = event.key else { return };
        let told = Told { pid: key.system_pid, start_time: key.start_time };
        self.lock().entry(event.container.clone()).or_default().insert(process.to_owned(), told);
    }

    /// What is known of a process.
    pub(crate) fn told(&self, container: &str, process: &str) -> Option<Told> {
        self.lock().get(container)?.get(process).copied()
    }

    /// Notes that somebody watches the process of this pid, whatever a damaged line may call it.
    pub(crate) fn hold(&self, pid: i32) {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).insert(pid);
    }

    /// Whether somebody does.
    pub(crate) fn is_held(&self, pid: i32) -> bool {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).contains(&pid)
    }

    /// Strikes a process off: somebody watches it, or its exit is told.
    pub(crate) fn settle(&self, container: &str, process: &str) {
        let mut lock = self.lock();
        if let Some(processes) = lock.get_mut(container) {
            processes.remove(process);
            if processes.is_empty() {
                lock.remove(container);
            }
        }
    }

    /// The processes of a container, or of all of them, init last.
    pub(crate) fn rest(&self, container: Option<&str>) -> Vec<(String, ProcessId, Told)> {
        let lock = self.lock();
        let wanted = lock.iter().filter(|(id, _)| container.is_none_or(|wanted| wanted == id.as_str()));
        let all = wanted.flat_map(|(id, processes)| {
            let valid =
                processes.iter().filter_map(|(process, told)| Some((ProcessId::new(process).ok()?, *told)));
            valid.map(|(process, told)| (id.clone(), process, told))
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|(id, process, _)| (id.clone(), process.is_init()));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::ProcessKey;

    #[test]
    fn whoever_started_and_did_not_end_is_owed_an_exit() {
        let owed = Owed::default();
        let event = |kind, process: &str, pid| Event {
            process: process.to_owned(),
            key: Some(ProcessKey { system_pid: pid, start_time: 7 }),
            ..Event::of_container(kind, "c")
        };
        owed.take_in(&event(EventKind::StartContainer, "", 1));
        owed.take_in(&event(EventKind::StartProcess, "e1", 2));
        owed.take_in(&event(EventKind::StartProcess, "z", 3));
        owed.take_in(&event(EventKind::Exit, "e1", 2));
        owed.take_in(&Event { key: None, ..event(EventKind::StartProcess, "old", 4) });
        let names = |rest: Vec<(String, ProcessId, Told)>| {
            rest.into_iter().map(|(_, process, told)| (process.to_string(), told.pid)).collect::<Vec<_>>()
        };
        assert_eq!(names(owed.rest(None)), [("z".to_owned(), 3), ("init".to_owned(), 1)]);
        assert_eq!(owed.told("c", "z"), Some(Told { pid: 3, start_time: 7 }));
        assert!(owed.rest(Some("d")).is_empty());
        owed.take_in(&event(EventKind::Exit, "z", 3));
        owed.take_in(&event(EventKind::Exit, "init", 1));
        assert!(owed.rest(None).is_empty());
    }
}

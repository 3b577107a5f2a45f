//! What the daemon has and what waits in it, as a snapshot for metrics and for people who look for a fault.

use crate::supervisor::{Entry, Shared};
use crate::view::Status;
use gantry_record::ContainerId;

/// What there is and what waits.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Whether all containers of the state dir are known.
    pub restored: bool,
    /// One for each container, sorted by id.
    pub containers: Vec<Row>,
    /// Starts that may still begin at once.
    pub free_start_workers: usize,
    /// Events that wait to be written.
    pub queued_events: usize,
    /// Events in memory.
    pub stored_events: usize,
    /// Events that were appended since the start.
    pub appended_events: u64,
    /// Those who are told of events.
    pub subscribers: usize,
    /// Subscribers that were cut off, for being too slow.
    pub cut_off_subscribers: u64,
    /// Size of the event log on disk.
    pub log_bytes: u64,
}

/// A container in an [`Overview`].
#[derive(Clone, Debug)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// What it is doing.
    pub status: Status,
    /// Its processes, by id, with their pids on the host.
    pub processes: Vec<(String, i32)>,
    /// Commands that wait for its task.
    pub queued_commands: usize,
}

impl Overview {
    pub(crate) fn of(shared: &Shared, restored: bool) -> Self {
        let row = |(id, entry): (&ContainerId, &Entry)| {
            let view = entry.view.borrow();
            let process = |process: &crate::ProcessView| (process.id.to_string(), process.identity.pid);
            Row {
                id: id.to_string(),
                status: view.status,
                processes: view.processes.iter().map(process).collect(),
                queued_commands: entry.commands.max_capacity() - entry.commands.capacity(),
            }
        };
        let containers = shared.containers().iter().map(row).collect();
        let log = shared.log.overview();
        Self {
            restored,
            containers,
            free_start_workers: shared.start_workers.available_permits(),
            queued_events: log.queued,
            stored_events: log.stored,
            appended_events: log.appended,
            subscribers: log.subscribers,
            cut_off_subscribers: log.cut_off,
            // Without a log there are no bytes in it.
            log_bytes: std::fs::metadata(shared.settings.state.event_log()).map_or(0, |file| file.len()),
        }
    }

    /// How many containers have this status.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        self.containers.iter().filter(|row| row.status == status).count()
    }
}

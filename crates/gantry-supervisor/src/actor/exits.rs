//! Watching a container's processes, reporting their ends, and removing the container at its own.

use super::{Actor, Done};
use crate::ended::{Ended, modified};
use crate::events::{Event, EventKind, Pending, ProcessKey, Timestamp};
use crate::supervisor::Shared;
use crate::tombstone::{Tombstone, exit_event};
use gantry_container::cgroup::OomWatch;
use gantry_container::{Container, ExitWatch, Process};
use gantry_record::layout::name;
use gantry_record::{ExitStatus, ProcessId, failpoint};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};

/// How long a full disk is left alone before the next try.
const ROOM_PAUSE: Duration = Duration::from_millis(200);

/// What the kernel kills with.
pub(super) const SIGKILL: u32 = 9;

impl Actor {
    pub(super) fn watch_exit(&mut self, id: &ProcessId, watch: ExitWatch) {
        let id = id.clone();
        self.tasks.spawn(async move { Done::Exited { id, status: watch.wait().await } });
    }

    pub(super) fn watch_oom(&mut self, watch: Option<OomWatch>) {
        if let Some(mut watch) = watch {
            self.oom_count = watch.count();
            self.tasks.spawn(async move { Done::Oom(watch.next().await.map(|()| watch)) });
        }
    }

    pub(super) async fn report_oom(&self) {
        let id = self.container.id();
        self.shared.metrics.oom_kills.increment();
        warn!(container = %id, "the kernel has killed a process of the container for want of memory");
        self.shared.log.note(Event::of_container(EventKind::Oom, id.as_str())).await;
    }

    /// An out-of-memory kill is told before the exit that it caused. Its descriptor became ready before the exit's
    /// did, so whoever waits for it only has to get its turn. Whatever else has ended by then is not heard.
    async fn report_pending_oom(&mut self) {
        tokio::task::yield_now().await;
        while let Some(done) = self.tasks.try_join_next() {
            if let Ok(Done::Oom(Some(_))) = done {
                self.oom_killed = true;
                self.report_oom().await;
            }
        }
    }

    /// On cgroup v2 the kernel may tell of a kill after the exit; the count knows of it. `kills` is that count when its
    /// cgroup is gone.
    async fn report_counted_oom(&mut self, kills: Option<u64>) {
        let Some(count) = &self.oom_count else { return };
        if count.has_new() == Some(true) || kills.is_some_and(|kills| count.is_new(kills)) {
            self.oom_killed = true;
            self.report_oom().await;
        }
    }

    pub(super) async fn exec_exited(&mut self, id: &ProcessId, status: ExitStatus) {
        if status.signal() == Some(SIGKILL) {
            self.report_counted_oom(None).await;
        }
        let Some(process) = self.processes.remove(id) else { return };
        let key = ProcessKey::of(&process.identity);
        drop(process);
        // Whoever hears of the end must not find it listed.
        self.publish_view();
        failpoint::of(id, "ended");
        // While the log waits for its disk, the container still obeys.
        tokio::spawn(self.report_exit(id, status, key).await.finish());
    }

    /// Execs that init's end has not ended: without a pid namespace of its own, the kernel does not.
    pub(super) fn kill_execs(&mut self) {
        if let Some(ending) = &mut self.ending {
            ending.kill_execs_at = None;
        }
        for process in self.processes.values().filter(|process| !process.id.is_init()) {
            if let Err(error) = process.signal(SIGKILL) {
                warn!(container = %self.container.id(), process = %process.id, %error, "an exec outlives init");
            }
        }
    }

    /// Removes the container and tells of init's end: what clients may use again is free before they hear of it.
    pub(super) async fn finish(&mut self, status: ExitStatus) {
        let ended = Instant::now();
        let init = self.processes.get(&ProcessId::init());
        let usage = init.and_then(|init| init.dir().usage()).unwrap_or_default();
        self.report_pending_oom().await;
        self.report_counted_oom(usage.oom_kills).await;
        let id = self.container.id();
        failpoint::of(&ProcessId::init(), "ended");
        if let Err(error) = self.container.delete_from_runtime().await {
            warn!(container = %id, %error, "the runtime cannot delete the container");
        }
        failpoint::of(&ProcessId::init(), "deleted");
        self.shared.forget(id);
        failpoint::of(&ProcessId::init(), "unlisted");
        if let Some(init) = self.processes.remove(&ProcessId::init()) {
            self.remember(&init, status).await;
            let key = ProcessKey::of(&init.identity);
            // Whatever the daemon held open for its clients goes before they hear of the end.
            drop(init);
            self.report_exit(&ProcessId::init(), status, key).await.finish().await;
            self.shared.records.retry();
            self.shared.metrics.exit.observe(ended.elapsed());
            if let Some(asked) = self.stop_asked {
                self.shared.metrics.stop.observe(asked.elapsed());
            }
        }
    }

    /// Writes down how the container ended, for whoever asks later. On a full disk it waits: the exit cannot be logged
    /// there either, and while the folder is there, a killed daemon costs nothing.
    async fn remember(&self, init: &Process, status: ExitStatus) {
        let record = self.container.record();
        let usage = init.dir().usage().unwrap_or_default();
        let started_at = modified(&init.dir().file(name::START_TIME));
        let ended_at = modified(&init.dir().file(name::EXIT_STATUS)).unwrap_or_else(Timestamp::now);
        let ended = Ended {
            id: self.container.id().to_string(),
            bundle: record.bundle.clone(),
            runtime: record.runtime.clone(),
            labels: record.labels.clone(),
            system_pid: init.identity.pid,
            status: status.get(),
            signal: status.signal().unwrap_or(0),
            oom_killed: self.oom_killed,
            started_at: started_at.map(|t| t.to_string()).unwrap_or_default(),
            ended_at: ended_at.to_string(),
            cpu_nanos: usage.cpu_nanos,
            peak_memory_bytes: usage.peak_memory_bytes,
        };
        let mut warned = false;
        while let Err(error) = self.shared.records.write(&ended) {
            if !warned {
                warn!(container = %self.container.id(), %error, "how the container ended cannot be written down");
                warned = true;
            }
            if !error.is_no_room() {
                return;
            }
            tokio::time::sleep(ROOM_PAUSE).await;
        }
    }

    /// Gives an exit its place in the log; what is returned sees to the rest.
    async fn report_exit(&self, process: &ProcessId, status: ExitStatus, key: ProcessKey) -> Report {
        let container = self.container.id();
        let state = &self.shared.settings.state;
        let tombstone = Tombstone::bury(state, container, process).inspect_err(
            |error| warn!(%container, %process, %error, "an ended process's folder cannot be moved"),
        );
        failpoint::of(process, "buried");
        // Only where moving it failed, now or in a daemon before this one, can a folder have survived its own report.
        let known = || self.shared.log.knows(EventKind::Exit, container.as_str(), process.as_str(), key);
        let event = ((tombstone.is_ok() && !self.taken_up) || !known())
            .then(|| exit_event(container.as_str(), process.as_str(), status, key));
        let pending = match event {
            Some(event) => Some(self.shared.log.enqueue(event).await),
            None => None,
        };
        Report {
            shared: Arc::clone(&self.shared),
            container: Arc::clone(&self.container),
            process: process.clone(),
            status,
            tombstone: tombstone.ok(),
            pending,
        }
    }
}

/// An exit that has its place in the log.
struct Report {
    shared: Arc<Shared>,
    container: Arc<Container>,
    process: ProcessId,
    status: ExitStatus,
    tombstone: Option<Tombstone>,
    pending: Option<Pending>,
}

impl Report {
    /// Waits until it is on the disk, and only then removes what it is known by.
    async fn finish(self) {
        let Self { shared, container, process, status, tombstone, pending } = self;
        if let Some(pending) = pending {
            pending.logged().await;
        }
        failpoint::of(&process, "exit-logged");
        shared.metrics.exits.increment();
        shared.metrics.changed.notify_one();
        info!(container = %container.id(), %process, %status, "exited");
        match tombstone {
            Some(tombstone) => {
                let tombstone = tombstone.told();
                failpoint::of(&process, "told");
                tombstone.remove().await;
            }
            None if process.is_init() => drop(container.dir().remove()),
            None => drop(container.dir().process(&process).remove()),
        }
        failpoint::of(&process, "forgotten");
    }
}

//! What the daemon is doing, for people who look for a fault: at SIGUSR1 in the log, and at `/debug/tasks`.

use super::About;
use gantry_supervisor::{Status, Supervisor};

/// One line on the whole, then one for each container.
pub(super) fn lines(supervisor: &Supervisor, about: &About) -> Vec<String> {
    let overview = supervisor.overview();
    let metrics = supervisor.metrics();
    let tasks = tokio::runtime::Handle::current().metrics();
    let mut lines = vec![
        format!(
            "{} {} for {:.0?}; containers: {} running, {} paused, {} stopped; restored: {}",
            about.program,
            about.version,
            about.started.elapsed(),
            overview.count(Status::Running),
            overview.count(Status::Paused),
            overview.count(Status::Stopped),
            if overview.restored { "yes" } else { "not yet" },
        ),
        format!(
            "starts: {} under way, {} waiting, {} more may begin; tasks: {} alive, {} waiting",
            metrics.starting.get(),
            metrics.waiting.get(),
            overview.free_start_workers,
            tasks.num_alive_tasks(),
            tasks.global_queue_depth(),
        ),
        format!(
            "events: {} waiting to be written, {} stored in {} bytes; subscribers: {}, {} cut off so far",
            overview.queued_events,
            overview.stored_events,
            overview.log_bytes,
            overview.subscribers,
            overview.cut_off_subscribers,
        ),
    ];
    lines.extend(overview.containers.iter().map(|row| {
        let processes = row.processes.iter().map(|(id, pid)| format!("{id}={pid}"));
        let processes = processes.collect::<Vec<_>>().join(" ");
        format!(
            "container {}: {}, {} commands waiting, processes: {processes}",
            row.id,
            row.status.as_str(),
            row.queued_commands
        )
    }));
    lines
}

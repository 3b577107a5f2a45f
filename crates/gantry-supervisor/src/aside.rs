//! Setting aside what cannot be believed: what runs of it is ended, since nobody could manage it, its exit is told, and the
//! records are kept for whoever wants to look.

use crate::events::{EventKind, ProcessKey};
use crate::supervisor::Shared;
use crate::told::Owed;
use crate::tombstone::exit_event;
use gantry_container::claims::Told;
use gantry_container::restore::{self, GivenUp};
use gantry_container::{Container, Error};
use gantry_oci::Runtime;
use gantry_record::{ContainerId, ProcessId, StateDir, layout};
use std::path::Path;
use tracing::{error, info, warn};

/// A container whose records cannot be believed.
pub(crate) async fn container(
    shared: &Shared,
    owed: &Owed,
    id: &ContainerId,
    runtime: &Runtime,
    reason: &Error,
) {
    // Never closed. As starts do: thousands at once would leave the host nothing for anything else.
    let _worker = shared.start_workers.acquire().await;
    let dir = shared.settings.state.container(id);
    let mut processes = dir.processes().unwrap_or_default();
    let told = owed.rest(Some(id.as_str()));
    // Those whose folder is gone are not forgotten.
    processes.extend(told.into_iter().map(|(_, process, _)| process));
    processes.sort_by_key(|process| (process.is_init(), process.clone()));
    processes.dedup();
    let mut ended = Vec::with_capacity(processes.len());
    for process in processes {
        let told = owed.told(id.as_str(), process.as_str());
        let ending = restore::give_up(id, &process, &dir.process(&process), told).await;
        ended.push((process, told, ending));
    }
    delete(shared, id, runtime).await;
    for (_, told, _) in &ended {
        restore::gone(id, *told).await;
    }
    if dir.path().exists() {
        if dir.is_bare() {
            info!(container = %id, "it was being made or removed; removing what is left of it");
            if let Err(error) = dir.remove() {
                warn!(container = %id, %error, "its folder cannot be removed");
            }
        } else {
            put(&shared.settings.state, dir.path(), reason);
        }
    }
    for (process, told, ending) in ended {
        report(shared, owed, id.as_str(), &process, told, &ending).await;
    }
}

/// An exec whose records cannot be believed; its container goes on.
pub(crate) async fn process(
    shared: &Shared,
    owed: &Owed,
    container: &Container,
    process: &ProcessId,
    reason: &Error,
) {
    let id = container.id();
    let told = owed.told(id.as_str(), process.as_str());
    let dir = container.dir().process(process);
    let ending = restore::give_up(id, process, &dir, told).await;
    restore::gone(id, told).await;
    put(&shared.settings.state, dir.path(), reason);
    report(shared, owed, id.as_str(), process, told, &ending).await;
}

/// Those that were started, whose exit nobody was told of, and of which nothing is left in the state dir.
pub(crate) async fn report_lost(shared: &Shared, owed: &Owed) {
    let mut lost = owed.rest(None);
    while let Some((id, _, _)) = lost.first().cloned() {
        let of_it: Vec<_> = lost.extract_if(.., |(other, _, _)| *other == id).collect();
        let Ok(container) = ContainerId::new(&id) else { continue };
        let dir = shared.settings.state.container(&container);
        let mut ended = Vec::with_capacity(of_it.len());
        for (_, process, told) in of_it {
            error!(container = %id, %process, pid = told.pid, "a process was started and its records are gone");
            // A line that is damaged may name another container: what somebody watches is not lost.
            let to_end = Some(told).filter(|told| !owed.is_held(told.pid));
            let ending = restore::give_up(&container, &process, &dir.process(&process), to_end).await;
            ended.push((process, told, ending));
        }
        let init = ended.iter().any(|(process, _, _)| process.is_init());
        if init && !shared.containers().contains_key(&container) {
            delete(shared, &container, &shared.settings.runtime).await;
        }
        for (process, told, ending) in ended {
            restore::gone(&container, Some(told).filter(|_| !ending.killed.is_empty())).await;
            report(shared, owed, &id, &process, Some(told), &ending).await;
        }
    }
}

async fn delete(shared: &Shared, id: &ContainerId, runtime: &Runtime) {
    let resident = shared.settings.resident.as_deref();
    if let Err(error) = gantry_container::runtime::delete(runtime, resident, id).await {
        warn!(container = %id, %error, "the runtime cannot delete the container");
    }
}

/// Tells of the end of a process that was given up, if its start was told.
async fn report(
    shared: &Shared,
    owed: &Owed,
    id: &str,
    process: &ProcessId,
    told: Option<Told>,
    ending: &GivenUp,
) {
    let GivenUp { status, killed } = ending;
    if told.is_some() || !killed.is_empty() {
        error!(container = %id, %process, %status, ?killed, "a process that cannot be managed any more was given up");
    }
    let Some(told) = told else { return };
    owed.settle(id, process.as_str());
    let key = ProcessKey { system_pid: told.pid, start_time: told.start_time };
    if !shared.log.knows(EventKind::Exit, id, process.as_str(), key) {
        shared.log.append(exit_event(id, process.as_str(), *status, key)).await;
        shared.metrics.exits.increment();
    }
}

/// Moves a folder aside and says so.
pub(crate) fn put(state: &StateDir, folder: &Path, reason: &dyn std::fmt::Display) {
    match state.put_aside(folder) {
        Ok(target) => error!(
            folder = %folder.display(), kept_in = %target.display(), %reason,
            "a record cannot be believed; its folder is set aside"
        ),
        Err(cause) => {
            error!(folder = %folder.display(), %reason, %cause, "a record cannot be believed; removing its folder");
            if let Err(error) = layout::remove_folder(folder) {
                warn!(%error, "and that fails");
            }
        }
    }
}

/// Clears the places of the daemon's own files.
pub(crate) fn strangers(state: &StateDir) {
    for path in [state.event_log(), state.ended_log()] {
        match state.put_stranger_aside(&path) {
            Ok(None) => {}
            Ok(Some(kept)) => {
                error!(path = %path.display(), kept_in = %kept.display(), "it is no file; it is set aside and begun anew");
            }
            Err(error) => error!(path = %path.display(), %error, "it is no file and cannot be set aside"),
        }
    }
}

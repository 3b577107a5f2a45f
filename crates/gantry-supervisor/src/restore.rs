//! Bringing back, at the daemon's start, what the state dir knows. One broken container or process never keeps
//! another from coming back.

use crate::events::{EventKind, ProcessKey, Timestamp};
use crate::supervisor::Shared;
use crate::tombstone;
use gantry_container::{Container, restore};
use gantry_oci::Runtime;
use gantry_record::{ContainerId, ProcessId, layout};
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

/// Restores all containers. Those whose start was interrupted are undone beside each other, since that takes
/// runtime commands.
pub(crate) async fn all(shared: &Arc<Shared>) {
    // On a full disk that takes as long as it is full; whoever asks for a container need not wait for it.
    tombstone::finish_all(&shared.settings.state, &shared.log).await.detach_all();
    let (ids, strangers) = match shared.settings.state.containers() {
        Ok(found) => found,
        Err(error) => {
            error!(%error, "the state dir cannot be read; no container is restored");
            return;
        }
    };
    for path in strangers {
        warn!(path = %path.display(), "a folder in the state dir is no container's; leaving it alone");
    }
    let mut tasks = JoinSet::new();
    for id in ids {
        let shared = Arc::clone(shared);
        tasks.spawn(Box::pin(async move { one(&shared, id).await }));
    }
    Shared::join_all(&mut tasks).await;
}

async fn one(shared: &Arc<Shared>, id: ContainerId) {
    let container = match Container::load(Arc::clone(&shared.settings), id.clone()) {
        Ok(container) => container,
        Err(error) => {
            set_aside_container(shared, &id, &shared.settings.runtime, &error).await;
            return;
        }
    };
    let mut processes = Vec::new();
    for process in container.dir().processes().unwrap_or_default() {
        let was_reported = |identity: &_| {
            let kind = if process.is_init() { EventKind::StartContainer } else { EventKind::StartProcess };
            shared.log.knows(kind, id.as_str(), process.as_str(), ProcessKey::of(identity))
        };
        match restore::process(&container, process.clone(), was_reported).await {
            Ok(found) => processes.extend(found),
            Err(error) if process.is_init() => {
                set_aside_container(shared, &id, container.runtime(), &error).await;
                return;
            }
            Err(error) => {
                let folder = container.dir().process(&process);
                restore::kill_shims(&id, folder.path());
                set_aside(shared, folder.path(), &error);
            }
        }
    }
    if !processes.iter().any(|(process, _)| process.id.is_init()) {
        info!(container = %id, "it was never started; removing what is left of it");
        remove(&container).await;
        return;
    }
    info!(container = %id, processes = processes.len(), "restored");
    let mut actor = shared.enlist(container);
    // Before anybody may ask.
    actor.take_up(processes);
    actor.restored();
}

async fn remove(container: &Container) {
    restore::kill_shims(container.id(), container.dir().process(&ProcessId::init()).path());
    if let Err(error) = container.delete_from_runtime().await {
        warn!(container = %container.id(), %error, "the runtime cannot delete the container");
    }
    if let Err(error) = container.dir().remove() {
        warn!(container = %container.id(), %error, "its folder cannot be removed");
    }
}

/// A container whose records cannot be believed: what runs of it is ended, since nobody could manage it, and
/// its folder is kept for whoever wants to look.
async fn set_aside_container(
    shared: &Shared,
    id: &ContainerId,
    runtime: &Runtime,
    error: &(dyn std::error::Error + Sync),
) {
    let dir = shared.settings.state.container(id);
    for process in dir.processes().unwrap_or_default() {
        restore::kill_shims(id, dir.process(&process).path());
    }
    let delete = runtime.delete(id, true);
    let limit = gantry_container::runtime::LIMIT;
    if let Err(error) = gantry_container::runtime::run(runtime, None, "delete", id, delete, None, limit).await
        && !error.is_unknown_container()
    {
        warn!(container = %id, %error, "the runtime cannot delete the container");
    }
    if dir.is_bare() {
        info!(container = %id, "it was being made or removed; removing what is left of it");
        if let Err(error) = dir.remove() {
            warn!(container = %id, %error, "its folder cannot be removed");
        }
        return;
    }
    set_aside(shared, dir.path(), error);
}

fn set_aside(shared: &Shared, folder: &Path, reason: &(dyn std::error::Error + Sync)) {
    let aside = shared.settings.state.set_aside();
    let (seconds, nanos) = Timestamp::now().to_parts();
    let target = aside.join(format!("{seconds}.{nanos:09}"));
    let moved = std::fs::create_dir_all(&aside).and_then(|()| std::fs::rename(folder, &target));
    match moved {
        Ok(()) => error!(
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

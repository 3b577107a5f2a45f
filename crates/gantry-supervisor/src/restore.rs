//! Bringing back, at the daemon's start, what the state dir knows. One broken container or process never keeps
//! another from coming back.

use crate::aside;
use crate::supervisor::Shared;
use crate::told::Owed;
use crate::tombstone;
use gantry_container::{Container, Error, Result, restore};
use gantry_record::failpoint;
use gantry_record::{ContainerId, ProcessId};
use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

/// How often, and after which pause, reading is tried again where the system has no descriptor or no memory for it.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// Restores all containers. Those whose start was interrupted are undone beside each other, since that takes
/// runtime commands.
pub(crate) async fn all(shared: &Arc<Shared>) {
    let owed = Arc::new(Owed::of(&shared.log).await);
    // On a full disk that takes as long as it is full; whoever asks for a container need not wait for it.
    tombstone::finish_all(&shared.settings.state, &shared.log, &owed).await.detach_all();
    failpoint::at("daemon::restore::tombstones-finished");
    let (ids, strangers) =
        match patiently(|| ready(shared.settings.state.containers().map_err(Error::from))).await {
            Ok(found) => found,
            Err(error) => {
                error!(%error, "the state dir cannot be read; no container is restored");
                return;
            }
        };
    for path in strangers {
        warn!(path = %path.display(), "what is there in the state dir is no container's folder; leaving it alone");
    }
    failpoint::at("daemon::restore::listed");
    let mut tasks = JoinSet::new();
    for id in ids {
        let (shared, owed) = (Arc::clone(shared), Arc::clone(&owed));
        tasks.spawn(Box::pin(async move { one(&shared, &owed, id).await }));
    }
    Shared::join_all(&mut tasks).await;
    aside::report_lost(shared, &owed).await;
}

async fn one(shared: &Arc<Shared>, owed: &Owed, id: ContainerId) {
    let load = || ready(Container::load(Arc::clone(&shared.settings), id.clone()));
    let container = match patiently(load).await {
        Ok(container) => container,
        Err(error) if error.is_of_the_moment() => return leave(owed, &id, &error),
        Err(error) => {
            aside::container(shared, owed, &id, &shared.settings.runtime, &error).await;
            return;
        }
    };
    failpoint::at("daemon::restore::loaded");
    let mut processes = Vec::new();
    let found = match patiently(|| ready(container.dir().processes().map_err(Error::from))).await {
        Err(error) if error.is_of_the_moment() => return leave(owed, &id, &error),
        found => found.unwrap_or_default(),
    };
    for process in found {
        let told = owed.told(id.as_str(), process.as_str());
        match patiently(|| restore::process(&container, process.clone(), told)).await {
            Ok(found) => processes.extend(found),
            Err(error) if error.is_of_the_moment() => return leave(owed, &id, &error),
            Err(error) if process.is_init() => {
                drop(processes);
                aside::container(shared, owed, &id, container.runtime(), &error).await;
                return;
            }
            Err(error) => aside::process(shared, owed, &container, &process, &error).await,
        }
    }
    if !processes.iter().any(|(process, _)| process.id.is_init()) {
        drop(processes);
        info!(container = %id, "it was never started; removing what is left of it");
        remove(&container).await;
        return;
    }
    info!(container = %id, processes = processes.len(), "restored");
    failpoint::at("daemon::restore::looked-at");
    for (process, _) in &processes {
        owed.settle(id.as_str(), process.id.as_str());
        owed.hold(process.identity.pid);
    }
    let mut actor = shared.enlist(container);
    // Before anybody may ask.
    actor.take_up(processes);
    actor.restored();
    failpoint::at("daemon::restore::enlisted");
}

/// Does something again while it fails for want of what others may give back.
async fn patiently<T, F: Future<Output = Result<T>>>(mut attempt: impl FnMut() -> F) -> Result<T> {
    let mut tries = TRIES;
    loop {
        tries -= 1;
        match attempt().await {
            Err(error) if tries > 0 && error.is_of_the_moment() => tokio::time::sleep(PAUSE).await,
            result => return result,
        }
    }
}

/// A container that cannot be looked at is not therefore broken: it runs on, and the next start finds it.
fn leave(owed: &Owed, id: &ContainerId, error: &Error) {
    error!(container = %id, %error, "the container cannot be looked at; leaving it as it is until the next start");
    for (container, process, _) in owed.rest(Some(id.as_str())) {
        owed.settle(&container, process.as_str());
    }
}

async fn remove(container: &Container) {
    restore::kill_shims(container.id(), container.dir().process(&ProcessId::init()).path());
    if let Err(error) = container.delete_from_runtime().await {
        warn!(container = %container.id(), %error, "the runtime cannot delete the container");
    }
    failpoint::at("daemon::restore::never-started-deleted");
    if let Err(error) = container.dir().remove() {
        warn!(container = %container.id(), %error, "its folder cannot be removed");
    }
}

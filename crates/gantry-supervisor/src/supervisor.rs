//! The door to all containers: finds or makes the one that a request is about and hands the request to its task.

use crate::actor::{Actor, Command, ContainerAction, ProcessAction, QUEUE};
use crate::aside;
use crate::ended::{Ended, Records};
use crate::error::{Error, Result};
use crate::events::{EventLog, Subscription, Timestamp};
use crate::metrics::Metrics;
use crate::options::{CreateRequest, Options, Reconfigure};
use crate::overview::Overview;
use crate::restore;
use crate::traces::TraceSender;
use crate::view::{ContainerView, Status};
use gantry_container::bundle::Bundle;
use gantry_container::cgroup::Stats;
use gantry_container::{Checkpoint, Container, ExecSpec, NewContainer, Resources, Settings, checkpoint};
use gantry_record::failpoint;
use gantry_record::{ContainerId, ProcessId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::warn;

/// The supervisor. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Supervisor {
    shared: Arc<Shared>,
    restored: watch::Receiver<bool>,
}

/// What all containers' tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// As they were at the start; what [`Reconfigure`] can change is in `current`.
    pub settings: Arc<Settings>,
    /// What new containers get.
    pub current: Mutex<Arc<Settings>>,
    pub metrics: Metrics,
    pub log: EventLog,
    pub start_workers: Semaphore,
    pub traces: Option<TraceSender>,
    pub records: Records,
    containers: Mutex<BTreeMap<ContainerId, Entry>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Boxed, since a channel has memory for more than it holds.
    pub commands: mpsc::Sender<Box<Command>>,
    pub view: watch::Receiver<Arc<ContainerView>>,
}

impl Shared {
    pub(crate) fn containers(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Entry>> {
        // Every change is one insert or one remove: a panic elsewhere leaves the map whole.
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a container that is made now gets.
    pub(crate) fn current(&self) -> Arc<Settings> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Refuses what could not be logged.
    pub(crate) fn may_start(&self) -> Result<()> {
        let Some(source) = self.log.trouble() else { return Ok(()) };
        Err(Error::EventLogWaits { path: self.settings.state.event_log(), source })
    }

    /// Takes a container off the list; its folder keeps the id from being used until that is gone too.
    pub(crate) fn forget(&self, id: &ContainerId) {
        self.containers().remove(id);
    }

    /// Puts a container on the list and makes its task's state.
    pub(crate) fn enlist(self: &Arc<Self>, container: Container) -> Actor {
        let (commands, receiver) = mpsc::channel(QUEUE);
        let (sender, view) = watch::channel(Arc::new(ContainerView::of(&container)));
        self.containers().insert(container.id().clone(), Entry { commands, view });
        Actor::new(Arc::clone(self), container, receiver, sender)
    }
}

impl Supervisor {
    /// Opens the state dir and begins to restore what is in it. Requests wait until that is done; this returns
    /// at once.
    ///
    /// # Errors
    /// When the state dir or the event log cannot be used at all.
    pub fn open(options: Options) -> Result<Self> {
        let state = &options.settings.state;
        state.create()?;
        failpoint::at("daemon::open::state-dir-made");
        aside::strangers(state);
        let path = state.event_log();
        let log = EventLog::open(&path, options.retain_events)
            .map_err(|source| Error::EventLog { path, source })?;
        failpoint::at("daemon::open::event-log-read");
        let settings = Arc::new(options.settings);
        let shared = Arc::new(Shared {
            records: Records::open(&settings.state)?,
            log,
            start_workers: Semaphore::new(options.start_workers.max(1)),
            traces: options.traces,
            current: Mutex::new(Arc::clone(&settings)),
            settings,
            metrics: Metrics::default(),
            containers: Mutex::default(),
        });
        let (done, restored) = watch::channel(false);
        let restoring = Arc::clone(&shared);
        tokio::spawn(async move {
            restore::all(&restoring).await;
            failpoint::at("daemon::restore::done");
            // The receiver in `Supervisor` may be gone if the daemon is stopping already.
            let _ = done.send(true);
        });
        Ok(Self { shared, restored })
    }

    /// Changes what can be changed while it works.
    pub fn reconfigure(&self, change: Reconfigure) {
        let mut current = self.shared.current.lock().unwrap_or_else(PoisonError::into_inner);
        let Reconfigure { runtime, start_timeout, retain_events } = change;
        *current = Arc::new(Settings { runtime, start_timeout, ..Settings::clone(&current) });
        self.shared.log.set_retain(retain_events);
    }

    /// What was counted and timed so far.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// What there is and what waits, without waiting for anything.
    #[must_use]
    pub fn overview(&self) -> Overview {
        Overview::of(&self.shared, *self.restored.borrow())
    }

    /// Waits until the containers of the state dir are known.
    pub async fn restored(&self) {
        // The sender ends only after it has sent.
        let _ = self.restored.clone().wait_for(|done| *done).await;
    }

    /// Makes a container and starts its init. When the caller gives up, so does the start.
    ///
    /// # Errors
    /// What failed; nothing is left of the container then.
    pub async fn create(&self, request: CreateRequest) -> Result<Arc<ContainerView>> {
        self.restored().await;
        self.shared.may_start()?;
        let id = ContainerId::new(&request.id)?;
        if request.bundle.is_empty() {
            return Err(gantry_container::Error::Invalid("empty bundle path".to_owned()).into());
        }
        request.check()?;
        let bundle = Bundle::open(request.bundle.as_ref())?;
        let new = NewContainer {
            id,
            bundle: request.bundle.into(),
            labels: request.labels,
            runtime: request.runtime,
            no_pivot_root: request.no_pivot_root,
        };
        let container = Container::create(self.shared.current(), new)?;
        let init = container.init_record(&bundle, &request.stdio, request.checkpoint.as_deref());
        let actor = self.shared.enlist(container);
        let (reply, answer) = oneshot::channel();
        actor.create(init, reply);
        answer.await.unwrap_or_else(|_| Err(not_found(&request.id)))
    }

    /// Starts another process in a container and returns its pid on the host.
    ///
    /// # Errors
    /// What failed; nothing is left of the process then.
    pub async fn exec(&self, container: &str, process: &str, spec: ExecSpec) -> Result<u32> {
        let entry = self.entry(container).await?;
        let id = ProcessId::new(process)?;
        let (reply, answer) = oneshot::channel();
        self.ask(container, &entry, Command::Exec { id, spec: Box::new(spec), reply }, answer).await
    }

    /// Sends a signal to a process.
    ///
    /// # Errors
    /// When there is no such container or process, or no such signal.
    pub async fn signal(&self, container: &str, process: &str, signal: u32) -> Result<()> {
        self.act(container, process, ProcessAction::Signal(signal)).await
    }

    /// Closes a process's stdin, sets its terminal's width and height, or both.
    ///
    /// # Errors
    /// When there is no such container or process, or its shim can't be told.
    pub async fn update_process(
        &self,
        container: &str,
        process: &str,
        close_stdin: bool,
        size: Option<(u16, u16)>,
    ) -> Result<()> {
        self.act(container, process, ProcessAction::Update { close_stdin, size }).await
    }

    async fn act(&self, container: &str, process: &str, action: ProcessAction) -> Result<()> {
        let entry = self.entry(container).await?;
        let id = ProcessId::new(process).map_err(|_| process_not_found(&entry, process))?;
        let (reply, answer) = oneshot::channel();
        self.ask(container, &entry, Command::Process { id, action, reply }, answer).await
    }

    /// Freezes or thaws a container.
    ///
    /// # Errors
    /// The runtime's words.
    pub async fn set_paused(&self, container: &str, paused: bool) -> Result<()> {
        self.act_on_all(container, ContainerAction::SetPaused(paused)).await
    }

    /// Changes a container's limits.
    ///
    /// # Errors
    /// The runtime's words, or through them the kernel's.
    pub async fn update(&self, container: &str, resources: Resources) -> Result<()> {
        self.act_on_all(container, ContainerAction::Update(Box::new(resources))).await
    }

    /// Writes a checkpoint of a container below `folder`, or below its bundle if that is empty.
    ///
    /// # Errors
    /// When the name is in use, or the runtime's words.
    pub async fn checkpoint(&self, container: &str, folder: String, checkpoint: Checkpoint) -> Result<()> {
        let checkpoint = Checkpoint { created: Timestamp::now().to_string(), ..checkpoint };
        let action = ContainerAction::Checkpoint { folder, checkpoint: Box::new(checkpoint) };
        self.act_on_all(container, action).await
    }

    /// The checkpoints of a container, sorted by name.
    ///
    /// # Errors
    /// When there is no such container or folder, or a checkpoint in it is damaged.
    pub async fn checkpoints(&self, container: &str, folder: &str) -> Result<Vec<Checkpoint>> {
        let bundle = self.entry(container).await?.view.borrow().bundle.clone();
        Ok(checkpoint::list(bundle.as_ref(), folder)?)
    }

    /// Removes a checkpoint of a container.
    ///
    /// # Errors
    /// When there is no such container, or something cannot be removed.
    pub async fn delete_checkpoint(&self, container: &str, folder: &str, name: &str) -> Result<()> {
        let bundle = self.entry(container).await?.view.borrow().bundle.clone();
        Ok(checkpoint::delete(bundle.as_ref(), folder, name)?)
    }

    /// What a container has used, and when that was read.
    ///
    /// # Errors
    /// When there is no such container, or it does not run, or it has no cgroup.
    pub async fn stats(&self, container: &str) -> Result<(Timestamp, Stats)> {
        let view = self.entry(container).await?.view.borrow().clone();
        let init = view.init().filter(|_| view.status != Status::Stopped);
        let init = init.ok_or_else(|| gantry_container::Error::ContainerExited(view.id.clone()))?;
        let now = Timestamp::now();
        let stats = self.shared.settings.cgroups.stats(init.identity.pid);
        let no_cgroup =
            || gantry_container::Error::Invalid(format!("container {container} has no cgroup to read"));
        Ok((now, stats.ok_or_else(no_cgroup)?))
    }

    /// How a container ended, if that is remembered.
    ///
    /// # Errors
    /// When nothing is remembered of it, or the record is damaged.
    pub async fn ended(&self, container: &str) -> Result<Ended> {
        self.restored().await;
        let id = ContainerId::new(container).map_err(|_| not_found(container))?;
        self.shared.records.read(&id)?.ok_or_else(|| not_found(container))
    }

    /// All that is remembered of containers that ended, the oldest end first.
    pub async fn all_ended(&self) -> Vec<Ended> {
        self.restored().await;
        self.shared.records.all()
    }

    /// Forgets how a container ended.
    ///
    /// # Errors
    /// When the record cannot be removed.
    pub async fn forget_ended(&self, container: &str) -> Result<()> {
        self.restored().await;
        let id = ContainerId::new(container).map_err(|_| not_found(container))?;
        Ok(self.shared.records.remove(&id)?)
    }

    async fn act_on_all(&self, container: &str, action: ContainerAction) -> Result<()> {
        let entry = self.entry(container).await?;
        let (reply, answer) = oneshot::channel();
        self.ask(container, &entry, Command::Container { action, reply }, answer).await
    }

    /// Looks at one container.
    ///
    /// # Errors
    /// When there is none of this id.
    pub async fn state(&self, container: &str) -> Result<ContainerView> {
        let entry = self.entry(container).await?;
        let view = entry.view.borrow().clone();
        Ok(self.with_pids(view).await)
    }

    /// Looks at all containers, sorted by id.
    pub async fn list(&self) -> Vec<ContainerView> {
        self.restored().await;
        let views: Vec<_> =
            self.shared.containers().values().map(|entry| entry.view.borrow().clone()).collect();
        let mut all = Vec::with_capacity(views.len());
        for view in views {
            all.push(self.with_pids(view).await);
        }
        all
    }

    /// Subscribes to events; see [`EventLog::subscribe`].
    ///
    /// # Errors
    /// When only stored events are asked for, but from no time on.
    pub async fn events(
        &self,
        since: Option<Timestamp>,
        stored_only: bool,
        container: Option<String>,
    ) -> Result<Subscription> {
        if stored_only && since.is_none() {
            const TEXT: &str =
                "invalid parameter: StoredOnly cannot be specified without setting a valid Timestamp";
            return Err(Error::Subscription(TEXT));
        }
        self.restored().await;
        if stored_only {
            // What this client was answered already is in its replay.
            self.shared.log.settle().await;
        }
        Ok(self.shared.log.subscribe(since, stored_only, container))
    }

    pub(crate) async fn entry(&self, container: &str) -> Result<Entry> {
        self.restored().await;
        let id = ContainerId::new(container).map_err(|_| not_found(container))?;
        self.shared.containers().get(&id).cloned().ok_or_else(|| not_found(container))
    }

    pub(crate) async fn ask<T>(
        &self,
        container: &str,
        entry: &Entry,
        command: Command,
        answer: oneshot::Receiver<Result<T>>,
    ) -> Result<T> {
        // A task that has ended, before or after it got the command, has removed its container.
        entry.commands.send(Box::new(command)).await.map_err(|_| not_found(container))?;
        answer.await.unwrap_or_else(|_| Err(not_found(container)))
    }

    /// Adds the pids, read from the container's cgroup, or asked of its runtime where it has none of its own.
    async fn with_pids(&self, view: Arc<ContainerView>) -> ContainerView {
        let mut view = Arc::unwrap_or_clone(view);
        let Some(init) = view.init().map(|init| init.identity.pid).filter(|_| view.status != Status::Stopped)
        else {
            return view;
        };
        view.pids = match self.shared.settings.cgroups.pids(init) {
            Some(pids) => pids,
            None => self.pids_of_runtime(&view.id).await,
        };
        view
    }

    async fn pids_of_runtime(&self, id: &ContainerId) -> Vec<u32> {
        let pids = match Container::load(Arc::clone(&self.shared.settings), id.clone()) {
            Ok(container) => container.pids().await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        // One broken container must not fail the whole listing.
        pids.unwrap_or_else(|error| {
            warn!(container = %id, %error, "the pids of the container are unknown");
            Vec::new()
        })
    }
}

fn not_found(container: &str) -> Error {
    gantry_container::Error::ContainerNotFound(container.to_owned()).into()
}

fn process_not_found(entry: &Entry, process: &str) -> Error {
    let container = entry.view.borrow().id.clone();
    gantry_container::Error::ProcessNotFound { container, process: process.to_owned() }.into()
}

impl Shared {
    /// Runs the tasks to their end, for restore.
    pub(crate) async fn join_all(tasks: &mut JoinSet<()>) {
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                warn!(%error, "restoring a container failed");
            }
        }
    }
}

//! The task that owns one container: takes its commands in order, starts and watches its processes, reports
//! what happens to them, and removes it at the end.
//!
//! Starts run beside it, so that a slow one does not keep a signal from another process; commands for a process
//! that is still being started wait for that start. A process is in `starting` or in `processes`, never in both.

use crate::error::{Error, Result};
use crate::events::{Event, EventKind, ProcessKey};
use crate::supervisor::Shared;
use crate::tombstone::{Tombstone, exit_event};
use crate::view::{ContainerView, ProcessView, Status};
use gantry_container::{Container, ExecSpec, ExitWatch, Process, start};
use gantry_record::{ExitStatus, ProcessId, ProcessRecord};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

/// Commands that may wait for a container; more make their senders wait.
pub(crate) const QUEUE: usize = 128;
/// Commands that may wait for one process's start.
const DEFERRED: usize = 64;
/// How long execs may outlive init before they are killed.
const EXEC_GRACE: Duration = Duration::from_secs(5);

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

/// What can be asked of a container.
#[derive(Debug)]
pub(crate) enum Command {
    /// Start another process.
    Exec { id: ProcessId, spec: Box<ExecSpec>, reply: Reply<u32> },
    /// Do something to one process.
    Process { id: ProcessId, action: ProcessAction, reply: Reply<()> },
    /// Freeze or thaw all processes.
    SetPaused { paused: bool, reply: Reply<()> },
}

/// What can be done to a process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ProcessAction {
    /// Send a signal.
    Signal(u32),
    /// Close stdin, and set the terminal's width and height.
    Update { close_stdin: bool, size: Option<(u16, u16)> },
}

/// Who waits for a start.
enum Starter {
    Init(Reply<Arc<ContainerView>>),
    Exec(Reply<u32>),
}

/// What a task beside the actor has brought to its end.
enum Done {
    Started(Box<Started>),
    Exited { id: ProcessId, status: ExitStatus },
}

struct Started {
    id: ProcessId,
    result: Result<(Process, ExitWatch)>,
    starter: Starter,
}

/// Init has ended; its exit is told once every exec's is.
struct Ending {
    status: ExitStatus,
    kill_execs_at: Option<Instant>,
}

/// One container's task.
pub(crate) struct Actor {
    shared: Arc<Shared>,
    container: Arc<Container>,
    commands: mpsc::Receiver<Command>,
    view: watch::Sender<Arc<ContainerView>>,
    processes: BTreeMap<ProcessId, Process>,
    starting: HashMap<ProcessId, Vec<Command>>,
    tasks: JoinSet<Done>,
    paused: bool,
    ending: Option<Ending>,
}

impl Actor {
    pub(crate) fn new(
        shared: Arc<Shared>,
        container: Container,
        commands: mpsc::Receiver<Command>,
        view: watch::Sender<Arc<ContainerView>>,
    ) -> Self {
        Self {
            shared,
            container: Arc::new(container),
            commands,
            view,
            processes: BTreeMap::new(),
            starting: HashMap::new(),
            tasks: JoinSet::new(),
            paused: false,
            ending: None,
        }
    }

    /// Runs a new container: starts its init, answers, and stays until it is gone.
    pub(crate) async fn create(mut self, init: ProcessRecord, reply: Reply<Arc<ContainerView>>) {
        self.spawn_start(ProcessId::init(), init, Starter::Init(reply));
        self.run().await;
    }

    /// Runs a container that was found on disk.
    pub(crate) async fn restored(mut self, processes: Vec<(Process, ExitWatch)>) {
        for (process, watch) in processes {
            if process.id.is_init() {
                self.paused = self.shared.cgroups.is_frozen(process.identity.pid);
            }
            self.watch_exit(&process.id, watch);
            self.processes.insert(process.id.clone(), process);
        }
        self.publish_view();
        self.run().await;
    }

    async fn run(&mut self) {
        loop {
            let kill_execs_at = self.ending.as_ref().and_then(|ending| ending.kill_execs_at);
            tokio::select! {
                biased;
                Some(done) = self.tasks.join_next() => match done {
                    Ok(done) => if self.done(done).await.is_break() { return },
                    Err(error) => warn!(container = %self.container.id(), %error, "a task of the container failed"),
                },
                () = sleep_until(kill_execs_at) => self.kill_execs(),
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    // The daemon is stopping. The container is not: it goes on beside its shim.
                    None => return,
                },
            }
        }
    }

    // === commands ===

    async fn command(&mut self, command: Command) {
        match command {
            Command::Exec { id, spec, reply } => match self.prepare_exec(&id, &spec) {
                Ok(record) => self.spawn_start(id, record, Starter::Exec(reply)),
                Err(error) => answer(reply, Err(error)),
            },
            Command::Process { id, action, reply } => match self.starting.get_mut(&id) {
                Some(deferred) if deferred.len() < DEFERRED => {
                    deferred.push(Command::Process { id, action, reply });
                }
                _ => answer(reply, self.act(&id, action)),
            },
            Command::SetPaused { paused, reply } => {
                let result = self.set_paused(paused).await;
                answer(reply, result);
            }
        }
    }

    fn prepare_exec(&self, id: &ProcessId, spec: &ExecSpec) -> Result<ProcessRecord> {
        if self.ending.is_some() || !self.processes.contains_key(&ProcessId::init()) {
            return Err(gantry_container::Error::ContainerExited(self.container.id().clone()).into());
        }
        if self.starting.contains_key(id) {
            let path = self.container.dir().process(id).path().to_owned();
            return Err(gantry_record::Error::io("mkdir", path, rustix::io::Errno::EXIST).into());
        }
        Ok(self.container.exec_record(&self.container.bundle()?, spec))
    }

    fn act(&self, id: &ProcessId, action: ProcessAction) -> Result<()> {
        let process = self.processes.get(id).ok_or_else(|| gantry_container::Error::ProcessNotFound {
            container: self.container.id().clone(),
            process: id.to_string(),
        })?;
        match action {
            ProcessAction::Signal(number) => process.signal(number)?,
            ProcessAction::Update { close_stdin, size } => {
                if close_stdin {
                    process.close_stdin()?;
                }
                if let Some((width, height)) = size {
                    process.resize(width, height)?;
                }
            }
        }
        Ok(())
    }

    async fn set_paused(&mut self, paused: bool) -> Result<()> {
        let kind = if paused {
            self.container.pause().await?;
            EventKind::Pause
        } else {
            self.container.resume().await?;
            EventKind::Resume
        };
        self.paused = paused;
        self.publish_view();
        self.shared.log.append(Event::of_container(kind, self.container.id().as_str())).await;
        Ok(())
    }

    // === starts ===

    fn spawn_start(&mut self, id: ProcessId, record: ProcessRecord, mut starter: Starter) {
        self.starting.insert(id.clone(), Vec::new());
        let (shared, container) = (Arc::clone(&self.shared), Arc::clone(&self.container));
        let attempt = async move {
            // Never closed, so a permit always comes.
            let _worker = shared.start_workers.acquire().await;
            let result = start::start(&container, id.clone(), record, starter.cancelled()).await;
            Done::Started(Box::new(Started { id, result: result.map_err(Error::from), starter }))
        };
        self.tasks.spawn(Box::pin(attempt));
    }

    /// Takes in what a task has brought; breaks when the container is gone.
    async fn done(&mut self, done: Done) -> ControlFlow<()> {
        match done {
            Done::Started(started) => {
                let Started { id, result, starter } = *started;
                match result {
                    Ok((process, watch)) => self.started(id, process, watch, starter).await,
                    Err(error) => self.start_failed(&id, error, starter).await?,
                }
            }
            Done::Exited { id, status } if id.is_init() => {
                let execs_left = !self.starting.is_empty() || self.processes.len() > 1;
                let kill_execs_at = execs_left.then(|| Instant::now() + EXEC_GRACE);
                self.ending = Some(Ending { status, kill_execs_at });
            }
            Done::Exited { id, status } => self.exec_exited(&id, status).await,
        }
        self.publish_view();
        match &self.ending {
            Some(ending) if self.starting.is_empty() && self.processes.keys().all(ProcessId::is_init) => {
                let status = ending.status;
                self.finish(status).await;
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }

    /// Reports a start and begins to watch for the exit, in this order: no exit can overtake its start.
    async fn started(&mut self, id: ProcessId, process: Process, watch: ExitWatch, starter: Starter) {
        let pid = u32::try_from(process.identity.pid).unwrap_or_default();
        let container = self.container.id().as_str();
        let (kind, name) = if id.is_init() {
            (EventKind::StartContainer, "")
        } else {
            (EventKind::StartProcess, id.as_str())
        };
        let key = Some(ProcessKey::of(&process.identity));
        let event = Event { process: name.to_owned(), key, ..Event::of_container(kind, container) };
        self.shared.log.append(event).await;
        if let Err(error) = process.dir().mark_started() {
            warn!(container, process = %id, %error, "the start marker cannot be removed");
        }
        info!(container, process = %id, pid, "started");
        self.watch_exit(&id, watch);
        self.processes.insert(id.clone(), process);
        self.publish_view();
        match starter {
            Starter::Init(reply) => answer(reply, Ok(self.view.borrow().clone())),
            Starter::Exec(reply) => answer(reply, Ok(pid)),
        }
        let deferred = self.starting.remove(&id).unwrap_or_default();
        self.resume_deferred(deferred).await;
    }

    async fn start_failed(&mut self, id: &ProcessId, error: Error, starter: Starter) -> ControlFlow<()> {
        info!(container = %self.container.id(), process = %id, %error, "not started");
        let deferred = self.starting.remove(id).unwrap_or_default();
        match starter {
            Starter::Exec(reply) => answer(reply, Err(error)),
            Starter::Init(reply) => {
                // Clean first, so that a client that hears of the failure can use the id again.
                self.shared.forget(self.container.id());
                if let Err(error) = self.container.dir().remove() {
                    warn!(container = %self.container.id(), %error, "a failed start leaves its folder");
                }
                answer(reply, Err(error));
                return ControlFlow::Break(());
            }
        }
        self.resume_deferred(deferred).await;
        ControlFlow::Continue(())
    }

    async fn resume_deferred(&mut self, deferred: Vec<Command>) {
        for command in deferred {
            // A deferred command is about a process that is no longer starting: this does not recur further.
            Box::pin(self.command(command)).await;
        }
    }

    // === exits ===

    fn watch_exit(&mut self, id: &ProcessId, watch: ExitWatch) {
        let id = id.clone();
        self.tasks.spawn(async move { Done::Exited { id, status: watch.wait().await } });
    }

    async fn exec_exited(&mut self, id: &ProcessId, status: ExitStatus) {
        let Some(process) = self.processes.remove(id) else { return };
        self.report_exit(id, status, ProcessKey::of(&process.identity)).await;
    }

    /// Execs that init's end has not ended: without a pid namespace of its own, the kernel does not.
    fn kill_execs(&mut self) {
        if let Some(ending) = &mut self.ending {
            ending.kill_execs_at = None;
        }
        for process in self.processes.values().filter(|process| !process.id.is_init()) {
            if let Err(error) = process.signal(9) {
                warn!(container = %self.container.id(), process = %process.id, %error, "an exec outlives init");
            }
        }
    }

    /// Removes the container and tells of init's end: what clients may use again is free before they hear of it.
    async fn finish(&mut self, status: ExitStatus) {
        let id = self.container.id();
        if let Err(error) = self.container.delete_from_runtime().await {
            warn!(container = %id, %error, "the runtime cannot delete the container");
        }
        self.shared.forget(id);
        if let Some(init) = self.processes.remove(&ProcessId::init()) {
            self.report_exit(&init.id, status, ProcessKey::of(&init.identity)).await;
        }
    }

    async fn report_exit(&self, process: &ProcessId, status: ExitStatus, key: ProcessKey) {
        let container = self.container.id();
        let state = &self.shared.settings.state;
        let tombstone = Tombstone::bury(state, container, process).inspect_err(
            |error| warn!(%container, %process, %error, "an ended process's folder cannot be moved"),
        );
        self.shared.log.append(exit_event(container.as_str(), process.as_str(), status, key)).await;
        info!(%container, %process, %status, "exited");
        match tombstone {
            Ok(tombstone) => tombstone.remove(),
            Err(_) if process.is_init() => drop(self.container.dir().remove()),
            Err(_) => drop(self.container.dir().process(process).remove()),
        }
    }

    // === what others see ===

    fn publish_view(&self) {
        let init = self.ending.is_none() && self.processes.contains_key(&ProcessId::init());
        let status = match (init, self.paused) {
            (false, _) => Status::Stopped,
            (true, true) => Status::Paused,
            (true, false) => Status::Running,
        };
        let processes = self.processes.values().map(|process| ProcessView {
            id: process.id.clone(),
            identity: process.identity.clone(),
            record: Arc::clone(&process.record),
        });
        let view =
            ContainerView { status, processes: processes.collect(), ..ContainerView::of(&self.container) };
        self.view.send_replace(Arc::new(view));
    }
}

impl Starter {
    /// Completes when nobody waits for the answer any more.
    async fn cancelled(&mut self) {
        match self {
            Self::Init(reply) => reply.closed().await,
            Self::Exec(reply) => reply.closed().await,
        }
    }
}

/// Whoever asked may have gone; then nobody misses the answer.
fn answer<T>(reply: Reply<T>, result: Result<T>) {
    let _ = reply.send(result);
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

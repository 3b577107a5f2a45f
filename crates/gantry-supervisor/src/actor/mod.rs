//! The task that owns one container: takes its commands in order, starts and watches its processes, reports
//! what happens to them, and removes it at the end.
//!
//! Starts run beside it, so that a slow one does not keep a signal from another process; commands for a process
//! that is still being started wait for that start. A process is in `starting` or in `processes`, never in both.

mod exits;
mod starts;

use self::starts::Starter;
use crate::error::{Error, Result};
use crate::events::{Event, EventKind};
use crate::shims::ReplacedShim;
use crate::supervisor::Shared;
use crate::traces::Tracing;
use crate::view::{ContainerView, ProcessView, Status};
use gantry_container::cgroup::{OomCount, OomWatch};
use gantry_container::{Checkpoint, Container, ExecSpec, ExitWatch, Process, Resources, start};
use gantry_record::failpoint;
use gantry_record::{ExitStatus, ProcessId, ProcessRecord};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

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
    /// Do something to the container as a whole.
    Container { action: ContainerAction, reply: Reply<()> },
    /// Replace the shims of all processes.
    ReplaceShims { reply: Reply<Vec<ReplacedShim>> },
}

/// What can be done to a container as a whole.
#[derive(Debug)]
pub(crate) enum ContainerAction {
    /// Freeze or thaw all processes.
    SetPaused(bool),
    /// Change limits.
    Update(Box<Resources>),
    /// Write a checkpoint below a folder.
    Checkpoint { folder: String, checkpoint: Box<Checkpoint> },
}

/// What can be done to a process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ProcessAction {
    /// Send a signal.
    Signal(u32),
    /// Close stdin, and set the terminal's width and height.
    Update { close_stdin: bool, size: Option<(u16, u16)> },
}

impl ProcessAction {
    /// Whether it is SIGTERM or SIGKILL.
    fn asks_to_end(self) -> bool {
        matches!(self, Self::Signal(9 | 15))
    }
}

/// What a task beside the actor has brought to its end.
enum Done {
    Started(Box<Started>),
    Exited {
        id: ProcessId,
        status: ExitStatus,
    },
    /// The kernel has killed for want of memory, or (`None`) can't any more.
    Oom(Option<OomWatch>),
}

struct Started {
    id: ProcessId,
    result: Result<start::Started>,
    starter: Starter,
    began: Instant,
    tracing: Option<Box<Tracing>>,
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
    commands: mpsc::Receiver<Box<Command>>,
    view: watch::Sender<Arc<ContainerView>>,
    /// Boxed, since a map has memory for more than it holds.
    processes: BTreeMap<ProcessId, Box<Process>>,
    starting: HashMap<ProcessId, Vec<Command>>,
    tasks: JoinSet<Done>,
    /// Found on disk: a daemon before this one may have told of an exit whose folder it could not move.
    taken_up: bool,
    paused: bool,
    oom_killed: bool,
    /// What the kernel counts, where it does.
    oom_count: Option<OomCount>,
    /// When somebody first asked init to end.
    stop_asked: Option<Instant>,
    ending: Option<Ending>,
}

impl Actor {
    pub(crate) fn new(
        shared: Arc<Shared>,
        container: Container,
        commands: mpsc::Receiver<Box<Command>>,
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
            taken_up: false,
            paused: false,
            oom_killed: false,
            oom_count: None,
            stop_asked: None,
            ending: None,
        }
    }

    /// Runs a new container: starts its init, answers, and stays until it is gone.
    pub(crate) fn create(mut self, init: ProcessRecord, reply: Reply<Arc<ContainerView>>) {
        self.spawn_start(ProcessId::init(), init, Starter::Init(reply));
        tokio::spawn(Box::pin(self.run()));
    }

    /// Takes up a container that was found on disk; from then on others see what it is doing.
    pub(crate) fn take_up(&mut self, processes: Vec<(Process, ExitWatch)>) {
        self.taken_up = true;
        for (process, watch) in processes {
            if process.id.is_init() {
                self.oom_killed = self.shared.log.has_oom_since_start(self.container.id().as_str());
                let oom = start::watch_oom(&self.container, process.identity.pid);
                self.watch_oom(oom);
                self.paused = self.shared.settings.cgroups.is_frozen(process.identity.pid);
            }
            self.watch_exit(&process.id, watch);
            self.processes.insert(process.id.clone(), Box::new(process));
        }
        self.publish_view();
    }

    /// Runs a container that was taken up.
    pub(crate) fn restored(self) {
        tokio::spawn(Box::pin(self.run()));
    }

    /// What a container does nearly all the time is wait. What it needs only while something happens is on the heap
    /// meanwhile (boxed), so that waiting takes little memory.
    async fn run(mut self) {
        loop {
            let kill_execs_at = self.ending.as_ref().and_then(|ending| ending.kill_execs_at);
            tokio::select! {
                biased;
                Some(done) = self.tasks.join_next() => match done {
                    Ok(done) => if Box::pin(self.done(done)).await.is_break() { return },
                    Err(error) => warn!(container = %self.container.id(), %error, "a task of the container failed"),
                },
                () = sleep_until(kill_execs_at) => self.kill_execs(),
                command = self.commands.recv() => match command {
                    Some(command) => Box::pin(self.command(*command)).await,
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
                _ => {
                    let result = self.act(&id, action);
                    if result.is_ok() && id.is_init() && action.asks_to_end() {
                        self.stop_asked.get_or_insert_with(Instant::now);
                    }
                    answer(reply, result);
                }
            },
            Command::ReplaceShims { reply } => {
                let shims =
                    self.processes.values().map(|process| (process.id.clone(), process.replace_shim()));
                let shims: Vec<_> = shims.collect();
                // Beside this task, which has to take in what happens meanwhile. One after the other, so that a broken
                // shim is noticed early.
                tokio::spawn(async move {
                    let mut replaced = Vec::with_capacity(shims.len());
                    for (process, shim) in shims {
                        replaced.push(ReplacedShim { process, result: shim.await.map_err(Error::from) });
                    }
                    answer(reply, Ok(replaced));
                });
            }
            Command::Container { action, reply } => {
                let result = match action {
                    ContainerAction::SetPaused(paused) => self.set_paused(paused).await,
                    ContainerAction::Update(resources) => {
                        let updated = self.container.update(&resources).await.map_err(Error::from);
                        failpoint::at("daemon::update::done");
                        updated
                    }
                    ContainerAction::Checkpoint { folder, checkpoint } => {
                        self.container.checkpoint(&folder, &checkpoint).await.map_err(Error::from)
                    }
                };
                answer(reply, result);
            }
        }
    }

    fn prepare_exec(&self, id: &ProcessId, spec: &ExecSpec) -> Result<ProcessRecord> {
        self.shared.may_start()?;
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
        let (kind, result) = if paused {
            (EventKind::Pause, self.container.pause().await)
        } else {
            (EventKind::Resume, self.container.resume().await)
        };
        failpoint::at("daemon::pause::done");
        let was_paused = self.paused;
        self.paused = if result.is_ok() { paused } else { self.is_frozen() };
        self.publish_view();
        // A runtime that was killed half-way may have done what it was to do.
        if self.paused != paused || was_paused == paused {
            result?;
        }
        self.shared.log.note(Event::of_container(kind, self.container.id().as_str())).await;
        Ok(())
    }

    /// What the kernel says, whatever a runtime did.
    fn is_frozen(&self) -> bool {
        let init = self.processes.get(&ProcessId::init());
        init.is_some_and(|init| self.shared.settings.cgroups.is_frozen(init.identity.pid))
    }

    // === what tasks bring ===

    /// Takes in what a task has brought; breaks when the container is gone.
    async fn done(&mut self, done: Done) -> ControlFlow<()> {
        match done {
            Done::Started(started) => {
                let Started { id, result, starter, began, tracing } = *started;
                self.count_start(&id, result.is_ok(), began);
                match result {
                    Ok(process) => self.started(id, process, starter, tracing).await,
                    Err(error) => self.start_failed(&id, error, starter, tracing).await?,
                }
            }
            Done::Oom(watch) => {
                if let Some(watch) = watch {
                    self.report_oom().await;
                    self.oom_killed = true;
                    self.watch_oom(Some(watch));
                }
                return ControlFlow::Continue(());
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

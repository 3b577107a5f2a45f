//! Starting a container's processes and reporting that they run.

use super::exits::SIGKILL;
use super::{Actor, Command, Done, Reply, Started, answer};
use crate::error::Error;
use crate::events::{Event, EventKind, ProcessKey};
use crate::traces::Tracing;
use crate::view::ContainerView;
use gantry_container::{Process, start};
use gantry_record::{ProcessId, ProcessRecord, failpoint};
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::time::Instant;
use tracing::{info, warn};

/// Who waits for a start.
pub(super) enum Starter {
    /// A client that makes a container.
    Init(Reply<Arc<ContainerView>>),
    /// A client that adds a process.
    Exec(Reply<u32>),
}

impl Starter {
    /// Completes when nobody waits for the answer any more.
    async fn cancelled(&mut self) {
        match self {
            Self::Init(reply) => reply.closed().await,
            Self::Exec(reply) => reply.closed().await,
        }
    }

    fn fail(self, error: Error) {
        match self {
            Self::Init(reply) => answer(reply, Err(error)),
            Self::Exec(reply) => answer(reply, Err(error)),
        }
    }
}

impl Actor {
    pub(super) fn spawn_start(&mut self, id: ProcessId, record: ProcessRecord, mut starter: Starter) {
        self.starting.insert(id.clone(), Vec::new());
        let (shared, container) = (Arc::clone(&self.shared), Arc::clone(&self.container));
        let began = Instant::now();
        let mut tracing = shared.traces.as_ref().map(|sender| {
            Box::new(Tracing::begin(sender, container.id(), &id, &container.runtime().program))
        });
        let attempt = async move {
            let waiting = shared.metrics.waiting.enter();
            // Never closed, so a permit always comes.
            let _worker = shared.start_workers.acquire().await;
            drop(waiting);
            let mut trace = tracing.as_mut().map(|tracing| &mut tracing.start.trace);
            if let Some(trace) = &mut trace {
                trace.done("wait for a worker");
            }
            let _starting = shared.metrics.starting.enter();
            let result = start::start(&container, id.clone(), record, trace, starter.cancelled()).await;
            Done::Started(Box::new(Started {
                id,
                result: result.map_err(Error::from),
                starter,
                began,
                tracing,
            }))
        };
        self.tasks.spawn(Box::pin(attempt));
    }

    pub(super) fn count_start(&self, id: &ProcessId, started: bool, began: Instant) {
        let metrics = &self.shared.metrics;
        metrics.changed.notify_one();
        match (id.is_init(), started) {
            (true, true) => metrics.start.observe(began.elapsed()),
            (true, false) => metrics.start_failures.increment(),
            (false, true) => metrics.exec.observe(began.elapsed()),
            (false, false) => metrics.exec_failures.increment(),
        }
    }

    /// Reports a start and begins to watch for the exit, in this order: no exit can overtake its start.
    pub(super) async fn started(
        &mut self,
        id: ProcessId,
        started: start::Started,
        starter: Starter,
        tracing: Option<Box<Tracing>>,
    ) {
        let start::Started { process, exit, oom } = started;
        let pid = u32::try_from(process.identity.pid).unwrap_or_default();
        let container = self.container.id().as_str();
        let (kind, name) = if id.is_init() {
            (EventKind::StartContainer, "")
        } else {
            (EventKind::StartProcess, id.as_str())
        };
        let key = Some(ProcessKey::of(&process.identity));
        let event = Event { process: name.to_owned(), key, ..Event::of_container(kind, container) };
        let starter = self.log_start(event, &process, starter).await;
        failpoint::of(&id, "start-logged");
        if let Err(error) = process.dir().mark_started() {
            warn!(container, process = %id, %error, "the start marker cannot be removed");
        }
        failpoint::of(&id, "started");
        info!(container = %self.container.id(), process = %id, pid, "started");
        self.watch_oom(oom);
        self.watch_exit(&id, exit);
        failpoint::of(&id, "exit-watched");
        self.processes.insert(id.clone(), Box::new(process));
        self.publish_view();
        match starter {
            Some(Starter::Init(reply)) => answer(reply, Ok(self.view.borrow().clone())),
            Some(Starter::Exec(reply)) => answer(reply, Ok(pid)),
            None => {}
        }
        failpoint::of(&id, "answered");
        if let Some(tracing) = tracing {
            tracing.end("log the event and answer", None);
        }
        let deferred = self.starting.remove(&id).unwrap_or_default();
        self.resume_deferred(deferred).await;
    }

    /// Logs a start; returns who waits for it, if anybody still does. Its client need not wait for a full disk: then the
    /// process is ended, and that it was there is told in its time.
    async fn log_start(&self, event: Event, process: &Process, starter: Starter) -> Option<Starter> {
        let mut starter = Some(starter);
        let limit = self.shared.current().start_timeout;
        let logged = self.shared.log.append(event);
        tokio::pin!(logged);
        if tokio::time::timeout(limit, &mut logged).await.is_err() {
            let container = self.container.id();
            warn!(%container, process = %process.id, "its start cannot be logged; ending it");
            if let Err(error) = process.signal(SIGKILL) {
                warn!(%container, process = %process.id, %error, "it cannot be killed");
            }
            let timeout = || gantry_container::Error::StartTimeout(limit).into();
            if let Some(starter) = starter.take() {
                starter.fail(self.shared.may_start().err().unwrap_or_else(timeout));
            }
            logged.await;
        }
        starter
    }

    pub(super) async fn start_failed(
        &mut self,
        id: &ProcessId,
        error: Error,
        starter: Starter,
        tracing: Option<Box<Tracing>>,
    ) -> ControlFlow<()> {
        if let Some(tracing) = tracing {
            tracing.end("fail and undo", Some(error.to_string()));
        }
        info!(container = %self.container.id(), process = %id, %error, "not started");
        let deferred = self.starting.remove(id).unwrap_or_default();
        match starter {
            Starter::Exec(reply) => answer(reply, Err(error)),
            Starter::Init(reply) => {
                // Clean first, so that a client that hears of the failure can use the id again.
                self.shared.forget(self.container.id());
                failpoint::of(id, "undo-unlisted");
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
}

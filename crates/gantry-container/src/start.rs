//! The road from a request to a running process, for init and exec alike. Whatever fails on it leaves nothing
//! behind (design, promise 5).

use crate::cgroup::OomWatch;
use crate::claims;
use crate::container::Container;
use crate::error::{Error, Result};
use crate::exit::{Adoption, ExitWatch};
use crate::process::{Identity, Process};
use crate::runtime;
use crate::shim::{self, Order, Shim};
use crate::trace::Trace;
use gantry_oci::RuntimeError;
use gantry_record::layout::name;
use gantry_record::{ProcessDir, ProcessId, ProcessRecord, failpoint, fifo};
use rustix::fs::OFlags;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{debug, warn};

/// How long an orphan of a failed start may take to die of SIGKILL.
const ORPHAN_LIMIT: Duration = Duration::from_secs(10);

/// How long a start that nobody waits for any more may go on until it can be undone without a trace.
pub(crate) const SETTLE_LIMIT: Duration = Duration::from_secs(10);

/// The step of a [`Trace`] that is the runtime's own.
pub const RUNTIME_START: &str = "runtime start";

/// A process that runs.
#[derive(Debug)]
pub struct Started {
    /// The process.
    pub process: Process,
    /// Tells when it has ended.
    pub exit: ExitWatch,
    /// Tells when the kernel kills in the container for want of memory; for init, where it can be told.
    pub oom: Option<OomWatch>,
}

/// Starts a process of `container` as `record` says. For init, the container's folder exists already.
///
/// The start marker stays in the folder: whoever reports the start removes it, so that a daemon killed in
/// between can tell. `cancelled` ends the attempt when it completes.
///
/// # Errors
/// Any of [`Error`]; the process's folder, its processes and, for init, what the runtime made are gone then.
pub async fn start(
    container: &Container,
    id: ProcessId,
    mut record: ProcessRecord,
    trace: Option<&mut Trace>,
    cancelled: impl Future<Output = ()>,
) -> Result<Started> {
    record.trace = trace.is_some();
    if record.terminal() {
        record.console_path = container.settings().consoles.wants_path(container.runtime()).await;
    }
    let dir = container.dir().process(&id);
    dir.create(&record)?;
    let mut attempt = Attempt { container, id, dir, record, trace, launching: None, shim: None };
    attempt.done("recorded", "write records");
    let limit = container.settings().start_timeout;
    let deadline = Instant::now() + limit;
    let outcome = tokio::select! {
        biased;
        outcome = attempt.run() => outcome,
        () = cancelled => Err(Error::Cancelled),
        () = tokio::time::sleep_until(deadline) => Err(Error::StartTimeout(limit)),
    };
    match outcome {
        Ok(started) => Ok(started),
        Err(error) => {
            if matches!(error, Error::Cancelled) {
                attempt.settle().await;
            }
            attempt.undo().await;
            Err(error)
        }
    }
}

struct Attempt<'a> {
    container: &'a Container,
    id: ProcessId,
    dir: ProcessDir,
    record: ProcessRecord,
    trace: Option<&'a mut Trace>,
    /// A task of its own, for it must not be given up half-way: nobody would know of the shim.
    launching: Option<JoinHandle<Result<Shim>>>,
    shim: Option<Shim>,
}

impl Attempt<'_> {
    /// Passes a step at which tests stop the daemon, and notes it for the trace in words.
    fn done(&mut self, name: &str, words: &'static str) {
        failpoint::of(&self.id, name);
        if let Some(trace) = &mut self.trace {
            trace.done(words);
        }
    }

    async fn run(&mut self) -> Result<Started> {
        let (exit, control) = self.open_fifos()?;
        failpoint::of(&self.id, "fifos-opened");
        let container = self.container;
        let launched = match self.launch(container.shim()).await {
            // A container of an older daemon may name a shim that was uninstalled since.
            Err(Error::ShimNotInstalled(_)) if container.shim() != container.settings().shim => {
                self.launch(&container.settings().shim).await?
            }
            launched => launched?,
        };
        self.shim = Some(launched);
        self.done("spawned", "spawn the shim");
        self.created().await?;
        self.done("created", "wait for the shim");
        let pid = self.dir.pid()?.ok_or(Error::NotStarted)?;
        let identity = Identity::of_new(pid);
        failpoint::of(&self.id, "pid-read");
        self.dir.write_start_time(identity.start_time.unwrap_or_default())?;
        self.done("identified", "identify the process");
        // Before it runs, so that not even its first allocation is missed.
        let oom = self.id.is_init().then(|| watch_oom(container, pid)).flatten();
        // Nor its first output, if the shim dies: from here on there is a second holder of its streams.
        let shim = || self.shim.as_ref().and_then(Shim::pid);
        let adoption = Adoption::of(container, &self.record, &self.dir, shim);
        if self.id.is_init() && self.record.checkpoint.is_empty() {
            failpoint::at("daemon::init::watched");
            self.unblock_init().await?;
        }
        self.done("running", RUNTIME_START);
        let process = Process {
            container: container.id().clone(),
            id: self.id.clone(),
            record: self.record.to_json().into(),
            identity: identity.clone(),
            dir: self.dir.clone(),
            control,
            succession: adoption.succession(),
        };
        let watch = ExitWatch {
            container: container.id().clone(),
            process: self.id.clone(),
            dir: self.dir.clone(),
            exit,
            shim: self.shim.take().and_then(Shim::into_child),
            identity,
            runtime: container.runtime().clone(),
            adoption,
        };
        Ok(Started { process, exit: watch, oom })
    }

    /// Waits until the process exists.
    async fn created(&mut self) -> Result<()> {
        let Some(shim) = &mut self.shim else { return Err(Error::NotStarted) };
        shim.created(&self.dir).await?;
        if let (Some(trace), Some(times)) = (&mut self.trace, shim.times()) {
            trace.shim = Some(times);
        }
        Ok(())
    }

    async fn launch(&mut self, shim: &str) -> Result<Shim> {
        let container = self.container;
        let settings = container.settings();
        let order = Order {
            // Another shim than the daemon's is executed as what it is.
            resident: settings.resident.clone().filter(|_| shim == settings.shim),
            shim: shim.to_owned(),
            container: container.id().clone(),
            bundle: container.record().bundle.clone(),
            runtime: container.runtime().program.clone(),
            dir: self.dir.clone(),
        };
        let launched = self.launching.insert(tokio::spawn(Shim::launch(order))).await;
        self.launching = None;
        launched.unwrap_or_else(|e| Err(Error::ShimSpawn { shim: shim.to_owned(), source: e.into() }))
    }

    fn open_fifos(&self) -> Result<(AsyncFd<OwnedFd>, OwnedFd)> {
        let path = || self.dir.file(name::EXIT);
        failpoint::io("daemon::start::open-fifos")
            .map_err(|e| gantry_record::Error::io("open", path(), e))?;
        let exit = ExitWatch::open_fifo(&self.dir)?;
        // Read and write: what is written before the shim opens it stays in the FIFO.
        let control = fifo::open(&self.dir.file(name::CONTROL), OFlags::RDWR)?;
        Ok((exit, control))
    }

    async fn unblock_init(&self) -> Result<(), RuntimeError> {
        let (runtime, id) = (self.container.runtime(), self.container.id());
        let resident = self.container.settings().resident.as_deref();
        // The start's own limit is shorter or longer; it is kept by the caller.
        runtime::run(runtime, resident, "start", id, runtime.start(id), None, Duration::MAX).await.map(drop)
    }

    /// Lets a launch that was given up come to its end.
    async fn have_launched(&mut self) {
        if let Some(launching) = self.launching.take()
            && let Ok(Ok(shim)) = launching.await
        {
            self.shim = Some(shim);
        }
    }

    /// Lets the runtime finish, if it runs.
    async fn settle(&mut self) {
        self.have_launched().await;
        if let Some(pid) = self.shim.as_ref().and_then(Shim::pid) {
            shim::settle(&Identity::of(pid, None), &self.dir, SETTLE_LIMIT).await;
        }
    }

    /// Removes every trace: shim and runtime first, so that nothing new appears, then what they made.
    async fn undo(&mut self) {
        self.have_launched().await;
        // The runtime may have written any number: only what the shim has brought into being is its to end. Looked at
        // before the shim goes, which would leave it without a parent that says so.
        let shim = self.shim.as_ref().and_then(Shim::pid);
        let init = self
            .container
            .dir()
            .process(&ProcessId::init())
            .pid()
            .ok()
            .flatten()
            .filter(|_| self.record.exec);
        let is_own = |pid: &i32| {
            shim.is_some_and(|shim| claims::descends_from(*pid, shim))
                || init.is_some_and(|init| claims::shares_cgroup(*pid, init))
        };
        let pid = self.dir.pid().ok().flatten().filter(is_own);
        let identity = pid.map(|pid| Identity::of(pid, self.dir.start_time().ok().flatten()));
        if let Some(shim) = &mut self.shim {
            shim.kill().await;
        }
        failpoint::of(&self.id, "undo-shim-killed");
        undo(self.container, &self.id, &self.dir, identity).await;
    }
}

/// Watches for out-of-memory kills; a container without a memory cgroup runs all the same.
pub fn watch_oom(container: &Container, init: i32) -> Option<OomWatch> {
    let watch = container.settings().cgroups.watch_oom(init);
    watch
        .inspect_err(|error| {
            debug!(container = %container.id(), %error, "out-of-memory kills cannot be watched");
        })
        .ok()
}

/// Removes what a start without a shim has left: its process, the runtime's container, the folder.
pub(crate) async fn undo(
    container: &Container,
    id: &ProcessId,
    dir: &ProcessDir,
    identity: Option<Identity>,
) {
    let warning = |step: &str, error: &dyn std::fmt::Display| {
        warn!(container = %container.id(), process = %id, %error, "undoing a failed start: {step}");
    };
    if let Some(identity) = identity.filter(Identity::is_alive) {
        if let Err(error) = identity.signal(libc::SIGKILL) {
            warning("the process cannot be killed", &error);
        }
        if !identity.ended_within(ORPHAN_LIMIT).await {
            warning("the process survives SIGKILL", &identity.pid);
        }
    }
    failpoint::of(id, "undo-killed");
    if id.is_init()
        && let Err(error) = container.delete_from_runtime().await
        && !matches!(error, RuntimeError::NotInstalled { .. })
    {
        warning("the runtime cannot delete the container", &error);
    }
    failpoint::of(id, "undo-deleted");
    if let Err(error) = dir.remove() {
        warning("the folder cannot be removed", &error);
    }
}

//! Waiting for a process's end and finding out its true status, whoever died first.
//!
//! The shim holds the `exit` FIFO open for writing all its life. The hang-up says that it has finished: then
//! `exitStatus` has the status. Where it has not, the shim was killed, and what is true is found out in the
//! order of [`ExitWatch::wait`].

use crate::container::{Container, OnShimDeath};
use crate::error::{Error, Result};
use crate::handover::{Handover, Succession};
use crate::holders::Holders;
use crate::orphans::Orphans;
use crate::process::Identity;
use crate::runtime;
use crate::shim::{Adopt, Shim};
use gantry_oci::Runtime;
use gantry_record::layout::name;
use gantry_record::{ContainerId, ExitStatus, ProcessDir, ProcessId, ProcessRecord};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;
use tracing::{info, warn};

/// How long a killed process may take before it is asked whether it is frozen, and how long after that.
const KILL_LIMIT: Duration = Duration::from_secs(1);
const THAWED_KILL_LIMIT: Duration = Duration::from_secs(30);
/// The pauses between two attempts to read a status for which there is no descriptor.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);
/// How long a new shim may take to stand beside a process.
const SUCCESSOR_LIMIT: Duration = Duration::from_secs(10);
/// New shims for one process in a daemon's life.
const MAX_SUCCESSORS: u32 = 100;
/// How long whoever adopted an orphan may take to reap it. Many a pid 1 only looks every other second.
const REAP_LIMIT: Duration = Duration::from_secs(10);

/// The right to wait for one process's end.
#[derive(Debug)]
pub struct ExitWatch {
    pub(crate) container: ContainerId,
    pub(crate) process: ProcessId,
    pub(crate) dir: ProcessDir,
    pub(crate) exit: AsyncFd<OwnedFd>,
    /// The shim, if this daemon spawned it.
    pub(crate) shim: Option<Child>,
    pub(crate) identity: Identity,
    pub(crate) runtime: Runtime,
    /// How to go on beside a new shim, where that is wanted.
    pub(crate) adoption: Adoption,
}

/// How a process goes on beside a new shim.
#[derive(Debug)]
pub(crate) struct Adoption {
    shim: String,
    bundle: String,
    holders: Arc<Holders>,
    handover: Arc<Handover>,
    orphans: Arc<Orphans>,
    /// Whether a shim that dies is followed by another one; else just one that was asked to hand over.
    on_death: bool,
    /// How many successors may still be tried: one that dies at once must not be followed for ever.
    left: u32,
    /// Whether somebody waits for the process's end in order to reap it.
    reaped: bool,
}

impl Adoption {
    /// Makes the second holder of what the process's shim holds, if the daemon is to adopt. `shim` finds that
    /// shim's pid.
    pub(crate) fn of(
        container: &Container,
        record: &ProcessRecord,
        dir: &ProcessDir,
        shim: impl FnOnce() -> Option<i32>,
    ) -> Self {
        let settings = container.settings();
        let on_death = settings.on_shim_death == OnShimDeath::Adopt;
        let holders = Arc::<Holders>::default();
        let handed_over = dir.is_handed_over();
        if on_death || handed_over {
            settings.orphans.take_in();
            let shim = if record.terminal() { shim() } else { None };
            holders.take(record, dir, shim);
        }
        Self {
            // The daemon's own: the container's may be older and not know how.
            shim: settings.shim.clone(),
            bundle: container.record().bundle.clone(),
            holders,
            handover: Arc::new(Handover::found(handed_over)),
            orphans: Arc::clone(&settings.orphans),
            on_death,
            left: MAX_SUCCESSORS,
            reaped: false,
        }
    }

    /// What the process itself has to know of it.
    pub(crate) fn succession(&self) -> Succession {
        Succession {
            holders: Arc::clone(&self.holders),
            handover: Arc::clone(&self.handover),
            orphans: Arc::clone(&self.orphans),
            on_death: self.on_death,
        }
    }

    /// Whether the process is to live on without the shim that it had.
    fn is_wanted(&self) -> bool {
        self.on_death || self.handover.is_asked_for()
    }
}

impl ExitWatch {
    /// Opens the `exit` FIFO for a process of `dir`.
    pub(crate) fn open_fifo(dir: &ProcessDir) -> gantry_record::Result<AsyncFd<OwnedFd>> {
        let path = dir.file(gantry_record::layout::name::EXIT);
        let fifo = gantry_record::fifo::open(&path, rustix::fs::OFlags::RDONLY)?;
        crate::sys::watch(fifo).map_err(|e| gantry_record::Error::io("watch", path, e))
    }

    /// Waits for the end and returns the status; `exitStatus` holds it too then.
    ///
    /// In this order: what the shim wrote to `exitStatus`; what it wrote into the FIFO because it could not
    /// write the file; a process that has outlived its shim gets a new one, or else is killed, which makes the
    /// status 137; what the kernel remembers of it (Linux 6.15); else nobody can know, 255.
    pub async fn wait(mut self) -> ExitStatus {
        let mut finishing = false;
        loop {
            let told = self.hang_up().await;
            let recorded = self.recorded().await;
            let status = match (recorded, told) {
                (Some(status), _) => status,
                (None, Some(status)) => {
                    let text = "the shim could not write the exit status and told it through the exit FIFO";
                    self.warn(&text, &status);
                    self.record(status);
                    status
                }
                // Boxed: each process waits here all its life, and hardly any needs what follows.
                (None, None) if !finishing && Box::pin(self.adopted()).await => continue,
                (None, None) => {
                    let status = Box::pin(self.after_shim_death()).await;
                    self.record(status);
                    status
                }
            };
            // Once: a successor that cannot finish either is not followed by another one.
            if finishing || !self.is_unfinished() || !Box::pin(self.succeeded()).await {
                self.adoption.handover.answer(Err(Error::NoSuchProcess));
                self.reap_later();
                return status;
            }
            finishing = true;
        }
    }

    /// What is in `exitStatus`. A daemon that has no descriptor or no memory left waits for one: the status is there.
    async fn recorded(&self) -> Option<ExitStatus> {
        let mut pause = FIRST_RETRY;
        loop {
            let error = match self.dir.exit_status() {
                Ok(status) => return status,
                Err(error) => error,
            };
            if pause == FIRST_RETRY {
                self.warn(&"the exit status cannot be read", &error);
            }
            if !error.is_for_want_of_resources() {
                return None;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_RETRY);
        }
    }

    /// Writes it down before anybody is told, for a daemon that comes after this one: from now on nobody else knows it.
    fn record(&self, status: ExitStatus) {
        let Err(error) = self.dir.write_exit_status(status) else { return };
        if self.dir.keep_exit_status(status).is_err() {
            self.warn(&"the exit status cannot be written down", &error);
        }
    }

    /// Whether the shim was killed after the process's end but before it had done all that follows: the rest of the logs,
    /// and deleting the container.
    fn is_unfinished(&self) -> bool {
        let undeleted =
            || self.process.is_init() && !self.dir.file(name::DELETED).exists() && self.dir.path().exists();
        self.adoption.is_wanted() && (undeleted() || self.adoption.holders.has_unlogged())
    }

    /// Gives a process that has outlived its shim a new one, if that is wanted; returns whether it has one.
    async fn adopted(&mut self) -> bool {
        if !self.adoption.is_wanted() || !self.identity.is_alive() {
            return false;
        }
        self.reap_process_later();
        self.succeeded().await
    }

    /// Puts a new shim into the place of the one that is gone; returns whether there is one.
    async fn succeeded(&mut self) -> bool {
        if self.adoption.left == 0 {
            return false;
        }
        self.adoption.left -= 1;
        self.reap_later();
        let asked_for = self.adoption.handover.is_asked_for();
        match self.spawn_successor().await {
            Ok(()) if asked_for => {
                let shim = self.shim.as_ref().and_then(Child::id);
                info!(container = %self.container, process = %self.process, shim, "a new shim has taken over");
                if let Err(error) = self.dir.mark_handover(false) {
                    self.warn(&"the handover is over, which cannot be noted", &error);
                }
                self.adoption.handover.answer(Ok(shim.unwrap_or_default()));
                if !self.adoption.on_death {
                    self.adoption.holders.release();
                }
                true
            }
            Ok(()) => {
                self.warn(&"the shim died; a new one stands beside the process", &"adopted");
                true
            }
            Err(error) => {
                self.warn(&"the shim is gone and a new one cannot be had", &error);
                self.adoption.handover.answer(Err(error));
                false
            }
        }
    }

    /// Its parent is gone. If this daemon becomes it, nobody else can reap the process, and others learn its status from
    /// that; where the kernel tells them nothing (before Linux 6.15), they find it written down.
    fn reap_process_later(&mut self) {
        if std::mem::replace(&mut self.adoption.reaped, true) {
            return;
        }
        let (identity, dir) = (self.identity.clone(), self.dir.clone());
        tokio::spawn(async move {
            identity
                .reap(|status| {
                    if let Ok(None) = dir.exit_status() {
                        // Whoever waits for it finds another way or says that it is unknown.
                        let _ = dir.write_exit_status(ExitStatus::from_wait_status(status));
                    }
                })
                .await;
        });
    }

    async fn spawn_successor(&mut self) -> Result<()> {
        let adoption = &self.adoption;
        // A FIFO that has hung up once stays so for its reader: it is opened anew.
        self.exit = Self::open_fifo(&self.dir)?;
        let adopt = Adopt { terminal: adoption.holders.terminal() };
        let mut shim = Shim::spawn(
            &adoption.shim,
            &self.container,
            &adoption.bundle,
            &self.runtime.program,
            &self.dir,
            Some(adopt),
        )?;
        match tokio::time::timeout(SUCCESSOR_LIMIT, shim.created(&self.dir)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                shim.kill().await;
                return Err(Error::StartTimeout(SUCCESSOR_LIMIT));
            }
        }
        self.shim = shim.into_child();
        Ok(())
    }

    /// Waits until nobody holds the FIFO for writing; returns a status if one was written into it.
    async fn hang_up(&self) -> Option<ExitStatus> {
        let mut told = Vec::new();
        let mut buffer = [0_u8; 16];
        loop {
            match rustix::io::read(self.exit.get_ref(), &mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    {
                        // Only the first bytes can be a status; whatever follows is not ours.
                        told.extend_from_slice(&buffer[..length.min(16_usize.saturating_sub(told.len()))]);
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => match self.exit.readable().await {
                    // Read again in any case: edge-triggered readiness is cleared before, not after.
                    Ok(mut guard) => guard.clear_ready(),
                    Err(error) => {
                        self.warn(&"the exit FIFO cannot be watched", &error);
                        break;
                    }
                },
                Err(error) => {
                    self.warn(&"the exit FIFO cannot be read", &io::Error::from(error));
                    break;
                }
            }
        }
        ExitStatus::parse(&String::from_utf8_lossy(&told))
    }

    async fn after_shim_death(&mut self) -> ExitStatus {
        let text = "the shim ended without reporting the exit";
        if let Some(mut shim) = self.shim.take() {
            let ended = tokio::time::timeout(KILL_LIMIT, shim.wait()).await;
            self.warn(&text, &format_args!("{ended:?}"));
        } else {
            self.warn(&text, &"it was no child of this daemon, so nobody can say why");
        }
        if self.identity.is_alive() {
            if !self.adoption.is_wanted() && !self.adoption.reaped {
                self.kill_orphan().await;
                return ExitStatus::KILLED;
            }
            let text = "it goes on without a shim: its terminal, and closing its standard input, are gone";
            self.warn(&text, &"watching its pidfd");
            while !self.identity.ended_within(Duration::from_secs(60 * 60)).await {}
        }
        if self.adoption.is_wanted() {
            self.reap_process_later();
        }
        let reaped = self.identity.reaped_status(REAP_LIMIT).await;
        reaped.or_else(|| self.dir.exit_status().ok().flatten()).unwrap_or(ExitStatus::UNKNOWN)
    }

    async fn kill_orphan(&self) {
        if let Err(error) = self.identity.signal(libc::SIGKILL) {
            self.warn(&"the orphan cannot be killed", &error);
        }
        if self.identity.ended_within(KILL_LIMIT).await {
            return;
        }
        // A frozen process (cgroup v1 freezer) dies only once it is thawed. An exec is no reason to thaw its container.
        if !self.process.is_init() {
            while !self.identity.ended_within(Duration::from_secs(60 * 60)).await {}
            return;
        }
        let resume = self.runtime.resume(&self.container);
        let resumed =
            runtime::run(&self.runtime, None, "resume", &self.container, resume, None, runtime::LIMIT).await;
        if !self.identity.ended_within(THAWED_KILL_LIMIT).await {
            self.warn(&"the orphan survives SIGKILL", &format_args!("resume: {resumed:?}"));
        }
    }

    /// The shim may linger with output that no reader has taken yet; it is reaped whenever it ends.
    fn reap_later(&mut self) {
        if let Some(mut shim) = self.shim.take() {
            tokio::spawn(async move { shim.wait().await });
        }
    }

    fn warn(&self, message: &dyn std::fmt::Display, detail: &dyn std::fmt::Display) {
        warn!(container = %self.container, process = %self.process, pid = self.identity.pid, %detail, "{message}");
    }
}

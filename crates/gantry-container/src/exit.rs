//! Waiting for a process's end and finding out its true status, whoever died first.
//!
//! The shim holds the `exit` FIFO open for writing all its life. The hang-up says that it has finished: then
//! `exitStatus` has the status. Where it has not, the shim was killed, and what is true is found out in the
//! order of [`ExitWatch::wait`].

use crate::container::{Container, OnShimDeath};
use crate::error::{Error, Result};
use crate::holders::Holders;
use crate::process::Identity;
use crate::runtime;
use crate::shim::{Adopt, Shim};
use gantry_oci::Runtime;
use gantry_record::control::ControlMessage;
use gantry_record::layout::name;
use gantry_record::{ContainerId, ExitStatus, ProcessDir, ProcessId, ProcessRecord, fifo};
use rustix::fs::OFlags;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;
use tracing::warn;

/// How long a killed process may take before it is asked whether it is frozen, and how long after that.
const KILL_LIMIT: Duration = Duration::from_secs(1);
const THAWED_KILL_LIMIT: Duration = Duration::from_secs(30);
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
    pub(crate) adoption: Option<Adoption>,
}

/// How a process goes on beside a new shim.
#[derive(Debug)]
pub(crate) struct Adoption {
    shim: String,
    bundle: String,
    holders: Arc<Holders>,
    /// How many successors may still be tried: one that dies at once must not be followed for ever.
    left: u32,
}

impl Adoption {
    /// Makes the second holder of what the process's shim holds, if the daemon is to adopt. `shim` finds that
    /// shim's pid.
    pub(crate) fn of(
        container: &Container,
        record: &ProcessRecord,
        shim: impl FnOnce() -> Option<i32>,
    ) -> (Arc<Holders>, Option<Self>) {
        let settings = container.settings();
        if settings.on_shim_death == OnShimDeath::Kill {
            return (Arc::default(), None);
        }
        let shim = if record.terminal() { shim() } else { None };
        let holders = Arc::new(Holders::of(record, shim));
        let adoption = Self {
            // The daemon's own: the container's may be older and not know how.
            shim: settings.shim.clone(),
            bundle: container.record().bundle.clone(),
            holders: Arc::clone(&holders),
            left: MAX_SUCCESSORS,
        };
        (holders, Some(adoption))
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
        loop {
            let told = self.hang_up().await;
            let recorded = self.dir.exit_status().unwrap_or_else(|error| {
                self.warn(&"the exit status cannot be read", &error);
                None
            });
            if let Some(status) = recorded {
                self.reap_later();
                return status;
            }
            let status = match told {
                Some(status) => {
                    let text = "the shim could not write the exit status and told it through the exit FIFO";
                    self.warn(&text, &status);
                    self.reap_later();
                    status
                }
                // Boxed: each process waits here all its life, and hardly any needs what follows.
                None if Box::pin(self.adopted()).await => continue,
                None => Box::pin(self.after_shim_death()).await,
            };
            if let Err(error) = self.dir.write_exit_status(status) {
                self.warn(&"the exit status cannot be written down", &error);
            }
            return status;
        }
    }

    /// Gives a process that has outlived its shim a new one, if that is wanted; returns whether it has one.
    async fn adopted(&mut self) -> bool {
        let Some(adoption) = self.adoption.as_mut().filter(|adoption| adoption.left > 0) else {
            return false;
        };
        if !self.identity.is_alive() {
            return false;
        }
        adoption.left -= 1;
        if let Some(mut shim) = self.shim.take() {
            tokio::spawn(async move { shim.wait().await });
        }
        match self.spawn_successor().await {
            Ok(()) => {
                self.warn(&"the shim died; a new one stands beside the process", &"adopted");
                true
            }
            Err(error) => {
                self.warn(&"the shim died and a new one cannot be had", &error);
                false
            }
        }
    }

    async fn spawn_successor(&mut self) -> Result<()> {
        let Some(adoption) = &self.adoption else { return Err(Error::ShimExited) };
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
        if !adoption.holders.has_stdin() {
            // It was closed before; the successor does not know.
            let control = fifo::open(&self.dir.file(name::CONTROL), OFlags::RDWR)?;
            let line = ControlMessage::CloseStdin.encode();
            rustix::io::write(control, line.as_bytes())
                .map_err(|e| gantry_record::Error::io("write", self.dir.file(name::CONTROL), e))?;
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
            if self.adoption.is_none() {
                self.kill_orphan().await;
                return ExitStatus::KILLED;
            }
            let text = "it goes on without a shim: its terminal, and closing its standard input, are gone";
            self.warn(&text, &"watching its pidfd");
            while !self.identity.ended_within(Duration::from_secs(60 * 60)).await {}
        }
        match self.identity.reaped_status(REAP_LIMIT).await.map(std::process::ExitStatus::from_raw) {
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => ExitStatus::from_code(code),
                (None, Some(signal)) => ExitStatus::from_signal(signal),
                (None, None) => ExitStatus::UNKNOWN,
            },
            None => ExitStatus::UNKNOWN,
        }
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

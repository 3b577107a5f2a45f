//! Waiting for a process's end and finding out its true status, whoever died first.
//!
//! The shim holds the `exit` FIFO open for writing all its life. The hang-up says that it has finished: then
//! `exitStatus` has the status. Where it has not, the shim was killed, and what is true is found out in the
//! order of [`ExitWatch::wait`].

use crate::process::Identity;
use crate::runtime;
use gantry_oci::Runtime;
use gantry_record::{ContainerId, ExitStatus, ProcessDir, ProcessId};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;
use tracing::warn;

/// How long a killed process may take before it is asked whether it is frozen, and how long after that.
const KILL_LIMIT: Duration = Duration::from_secs(1);
const THAWED_KILL_LIMIT: Duration = Duration::from_secs(30);
/// How long whoever adopted an orphan may take to reap it.
const REAP_LIMIT: Duration = Duration::from_secs(1);

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
    /// write the file; a process that has outlived its shim is killed, which makes the status 137; what the
    /// kernel remembers of it (Linux 6.15); else nobody can know, 255.
    pub async fn wait(mut self) -> ExitStatus {
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
                self.warn(
                    &"the shim could not write the exit status and told it through the exit FIFO",
                    &status,
                );
                self.reap_later();
                status
            }
            None => self.after_shim_death().await,
        };
        if let Err(error) = self.dir.write_exit_status(status) {
            self.warn(&"the exit status cannot be written down", &error);
        }
        status
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
        if let Some(mut shim) = self.shim.take() {
            let ended = tokio::time::timeout(KILL_LIMIT, shim.wait()).await;
            self.warn(&"the shim ended without reporting the exit", &format_args!("{ended:?}"));
        }
        if self.identity.is_alive() {
            self.kill_orphan().await;
            return ExitStatus::KILLED;
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
        // A frozen process (cgroup v1 freezer) dies only once it is thawed.
        let resume = self.runtime.resume(&self.container);
        let resumed =
            runtime::run(&self.runtime, "resume", &self.container, resume, None, runtime::LIMIT).await;
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

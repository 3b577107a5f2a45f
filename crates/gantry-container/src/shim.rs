//! Having a shim, forked by the resident parent or executed, and learning by events, never by polling, what became of it.

use crate::error::{Error, Result};
use crate::process::Identity;
use crate::resident::{Forked, Resident};
use crate::restore;
use gantry_record::layout::name;
use gantry_record::{ContainerId, ProcessDir, failpoint, log, ready};
use rustix::fs::inotify;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::unix::pipe;
use tokio::process::Child;

/// How long a shim that was killed, or has closed its ready pipe without a word, may take to be gone.
const DEATH_LIMIT: Duration = Duration::from_secs(10);

/// How long the last word of a shim that died at once may be on its way.
const UNHEARD_LIMIT: Duration = Duration::from_secs(1);

/// A shim that is new.
#[derive(Debug)]
pub struct Shim {
    origin: Origin,
    ready: pipe::Receiver,
    /// Watches the process's folder for the pid file, for shims that may not speak [`ready`]. A forked one does, and so does
    /// a successor, for which the pid file that it finds is the process's own and says nothing of the shim.
    folder: Option<AsyncFd<OwnedFd>>,
    /// What it said of its times.
    times: Option<ready::Times>,
}

/// Where a shim comes from.
#[derive(Debug)]
enum Origin {
    /// A child, which wants to be waited for.
    Executed(Child),
    /// The resident parent's child. The descriptor is its pidfd.
    Forked { pid: i32, pidfd: AsyncFd<OwnedFd> },
}

/// What a shim is told, and who makes it.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) resident: Option<Arc<Resident>>,
    /// Name or path of the program.
    pub(crate) shim: String,
    pub(crate) container: ContainerId,
    pub(crate) bundle: String,
    pub(crate) runtime: String,
    pub(crate) dir: ProcessDir,
}

/// What a successor is given.
#[derive(Debug)]
pub struct Adopt {
    /// The terminal's master side.
    pub terminal: Option<OwnedFd>,
}

impl Shim {
    /// Has the shim forked by the resident parent, or else executed.
    ///
    /// # Errors
    /// As [`Shim::spawn`].
    pub(crate) async fn launch(order: Order) -> Result<Self> {
        if let Some(forked) = Self::fork(&order).await? {
            return Ok(forked);
        }
        let Order { shim, container, bundle, runtime, dir, .. } = &order;
        Self::spawn(shim, container, bundle, runtime, dir, None)
    }

    async fn fork(order: &Order) -> Result<Option<Self>> {
        let Some(resident) = &order.resident else { return Ok(None) };
        let failed = |source: io::Error| Error::ShimSpawn { shim: order.shim.clone(), source };
        failpoint::io("daemon::shim::fork").map_err(|e| failed(e.into()))?;
        let (ready_read, ready_write) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
        let shim = gantry_record::resident::Shim {
            container: order.container.clone(),
            bundle: order.bundle.clone().into(),
            runtime: order.runtime.clone(),
            built_in: resident.is(&order.runtime),
            folder: order.dir.path().to_owned(),
        };
        let ready = pipe::Receiver::from_owned_fd(ready_read).map_err(failed)?;
        let forked = tokio::select! {
            biased;
            forked = resident.shim(shim, ready_write) => forked,
            () = died_unheard(&ready) => None,
        };
        let Some(Forked { pid, pidfd }) = forked else { return Ok(None) };
        let pidfd = crate::sys::watch(pidfd).map_err(failed)?;
        Ok(Some(Self { origin: Origin::Forked { pid, pidfd }, ready, folder: None, times: None }))
    }

    /// Executes `shim CONTAINER BUNDLE RUNTIME` in the process's folder, as leader of a process group of its
    /// own, so that what a terminal sends to the daemon does not reach it. With `adopt` it becomes the successor
    /// of one that has died: it makes no process but takes over the one that runs, and its terminal.
    ///
    /// # Errors
    /// [`Error::ShimNotInstalled`] or [`Error::ShimSpawn`].
    pub fn spawn(
        shim: &str,
        container: &ContainerId,
        bundle: &str,
        runtime: &str,
        dir: &ProcessDir,
        adopt: Option<Adopt>,
    ) -> Result<Self> {
        let failed = |source: io::Error| Error::ShimSpawn { shim: shim.to_owned(), source };
        failpoint::io("daemon::shim::spawn").map_err(|e| failed(e.into()))?;
        let (ready_read, ready_write) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
        let folder = if adopt.is_some() { None } else { Some(watch_folder(dir).map_err(failed)?) };
        let mut command = Command::new(shim);
        gantry_oci::forget_service_manager(&mut command);
        if adopt.is_some() {
            command.arg("--adopt");
        }
        let terminal = adopt.and_then(|adopt| adopt.terminal);
        command.args([container.as_str(), bundle, runtime]).current_dir(dir.path()).process_group(0);
        command
            .stdin(terminal.map_or_else(Stdio::null, Stdio::from))
            .stdout(ready_write)
            .stderr(Stdio::null());
        let child = tokio::process::Command::from(command).spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::ShimNotInstalled(shim.to_owned()),
            _ => failed(source),
        })?;
        let ready = pipe::Receiver::from_owned_fd(ready_read).map_err(failed)?;
        Ok(Self { origin: Origin::Executed(child), ready, folder, times: None })
    }

    /// Waits until the runtime has made the process. The caller bounds the time, and calls [`Shim::kill`]
    /// when it gives up.
    ///
    /// # Errors
    /// What the shim's log or, failing that, the runtime's says; [`Error::NotStarted`] when neither does.
    pub async fn created(&mut self, dir: &ProcessDir) -> Result<()> {
        let mut said = Vec::with_capacity(64);
        loop {
            let speaks = said.starts_with(ready::HELLO.as_bytes());
            if speaks && said.ends_with(ready::READY.as_bytes()) {
                self.times = ready::Times::find(&String::from_utf8_lossy(&said));
                return Ok(());
            }
            tokio::select! {
                biased;
                read = self.ready.read_buf(&mut said) => match read {
                    Ok(0) | Err(_) => break,
                    // Garbage from something that is no shim must not grow without limit.
                    Ok(_) if said.len() > 256 => break,
                    Ok(_) => {}
                },
                changed = changed_or_never(self.folder.as_ref()), if !speaks => {
                    changed.map_err(|source| Error::ShimSpawn { shim: "watching it".to_owned(), source })?;
                    if matches!(dir.pid(), Ok(Some(_))) {
                        return Ok(());
                    }
                }
            }
        }
        self.ended(DEATH_LIMIT).await;
        if let Some(message) = log::first_error(&dir.file(name::SHIM_LOG))? {
            return Err(Error::Shim(message));
        }
        match log::first_error(&dir.file(name::RUNTIME_LOG))? {
            Some(message) => Err(Error::Runtime(message)),
            None => Err(Error::NotStarted),
        }
    }

    /// Kills the shim, and with it, by its parent-death signal, the runtime that it waits for.
    pub async fn kill(&mut self) {
        if let Some(pid) = self.pid() {
            // The runtime dies with the shim, but what the runtime has started does not.
            restore::kill_group(pid);
        }
        // An error means that it has ended already.
        let _ = match &mut self.origin {
            Origin::Executed(child) => child.start_kill(),
            Origin::Forked { pidfd, .. } => {
                crate::sys::pidfd_send_signal(pidfd.get_ref().as_fd(), libc::SIGKILL)
            }
        };
        self.ended(DEATH_LIMIT).await;
    }

    /// Waits until the shim has ended, `limit` at most; whether it has.
    pub async fn ended(&mut self, limit: Duration) -> bool {
        let ended = async {
            match &mut self.origin {
                Origin::Executed(child) => child.wait().await.is_ok(),
                Origin::Forked { pidfd, .. } => pidfd.readable().await.is_ok(),
            }
        };
        tokio::time::timeout(limit, ended).await.unwrap_or(false)
    }

    /// When its steps happened, if it was asked to say so and is ready.
    #[must_use]
    pub fn times(&self) -> Option<ready::Times> {
        self.times
    }

    /// Its pid, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        match &self.origin {
            Origin::Executed(child) => child.id().and_then(|pid| i32::try_from(pid).ok()),
            Origin::Forked { pid, .. } => Some(*pid),
        }
    }

    /// Lets go of the start's descriptors; what may remain is a child to be reaped.
    #[must_use]
    pub fn into_child(self) -> Option<Child> {
        match self.origin {
            Origin::Executed(child) => Some(child),
            Origin::Forked { .. } => None,
        }
    }
}

/// Waits until whoever was to become a shim has died without saying who it is, as nobody else does: nobody holds its end of the
/// pipe then, and what it said before would be here soon.
async fn died_unheard(ready: &pipe::Receiver) {
    match ready.ready(Interest::READABLE).await {
        Ok(state) if state.is_read_closed() => tokio::time::sleep(UNHEARD_LIMIT).await,
        // A shim has said hello, and before that who it is.
        _ => std::future::pending().await,
    }
}

/// Waits until the runtime that `shim` runs has made the process of `dir` or given up, or `limit` has passed. A runtime
/// that is killed half-way leaves cgroups and processes of which it has written nothing down yet.
pub(crate) async fn settle(shim: &Identity, dir: &ProcessDir, limit: Duration) {
    let Ok(folder) = watch_folder(dir) else { return };
    let made = async { while !matches!(dir.pid(), Ok(Some(_))) && folder_changed(&folder).await.is_ok() {} };
    tokio::select! {
        () = made => {}
        _ = shim.ended_within(limit) => {}
    }
}

fn watch_folder(dir: &ProcessDir) -> io::Result<AsyncFd<OwnedFd>> {
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&watch, dir.path(), inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CLOSE_WRITE)?;
    crate::sys::watch(watch)
}

/// [`folder_changed`] for a folder that is watched.
async fn changed_or_never(folder: Option<&AsyncFd<OwnedFd>>) -> io::Result<()> {
    match folder {
        Some(folder) => folder_changed(folder).await,
        None => std::future::pending().await,
    }
}

/// Waits for something to be written in the folder and forgets what it was.
async fn folder_changed(folder: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let mut buffer = [0_u8; 4096];
    loop {
        let mut guard = folder.readable().await?;
        if let Ok(read) = guard.try_io(|fd| rustix::io::read(fd.get_ref(), &mut buffer).map_err(Into::into)) {
            return read.map(drop);
        }
    }
}

//! One command of the runtime that runs: in a program of its own, or in a fork of this one.

use super::{BuiltIn, Streams};
use crate::hardening;
use crate::sys::{self, Inherited, Side};
use rustix::process::{Pid, Signal, WaitOptions, waitpid};
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// A command that was started and not yet waited for.
pub(crate) enum Running {
    /// A program of its own.
    Spawned(Child),
    /// A fork of this one.
    Forked(Pid),
}

impl Running {
    /// Executes the command.
    pub(super) fn spawn(
        mut command: Command,
        folder: &Path,
        streams: Streams,
        inherited: Inherited,
    ) -> io::Result<Self> {
        command.current_dir(folder);
        let [stdin, stdout, stderr] = streams.map(|fd| fd.map_or_else(Stdio::null, Stdio::from));
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        sys::prepare_child(&mut command, inherited);
        command.spawn().map(Self::Spawned)
    }

    /// Does in a fork what the command would.
    pub(super) fn fork(
        built_in: BuiltIn,
        command: &Command,
        folder: &Path,
        streams: Streams,
        inherited: Inherited,
    ) -> io::Result<Self> {
        let shim = rustix::process::getpid();
        // SAFETY: the shim has one thread, in a fork of the resident parent as in a program of its own.
        match unsafe { sys::fork() }? {
            Side::Parent(pid) => Ok(Self::Forked(pid)),
            Side::Child => {
                let entered = sys::reset_child(shim, inherited)
                    .and_then(|()| take_streams(streams))
                    .and_then(|()| rustix::process::chdir(folder).map_err(Into::into))
                    .and_then(|()| hardening::undo_for_runtime().map_err(io::Error::other));
                // What an execve would have closed: the shim's own descriptors.
                sys::close_inherited();
                let code = match entered {
                    Ok(()) => built_in(&mut command.get_args().map(OsString::from)),
                    Err(_) => 1,
                };
                sys::exit_now(i32::from(code))
            }
        }
    }

    /// Its pid, while it has not been waited for.
    pub(crate) fn pid(&self) -> Option<Pid> {
        match self {
            Self::Spawned(child) => i32::try_from(child.id()).ok().and_then(Pid::from_raw),
            Self::Forked(pid) => Some(*pid),
        }
    }

    /// How it ended, if it has. Not to be called again then.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        match self {
            Self::Spawned(child) => child.try_wait(),
            Self::Forked(pid) => wait(*pid, WaitOptions::NOHANG),
        }
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        match self {
            Self::Spawned(child) => child.wait(),
            Self::Forked(pid) => wait(*pid, WaitOptions::empty())?.ok_or_else(|| io::ErrorKind::Other.into()),
        }
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        match self {
            Self::Spawned(child) => child.kill(),
            // Not waited for yet, so the pid is still its own.
            Self::Forked(pid) => Ok(rustix::process::kill_process(*pid, Signal::KILL)?),
        }
    }
}

fn wait(pid: Pid, options: WaitOptions) -> io::Result<Option<ExitStatus>> {
    loop {
        match waitpid(Some(pid), options) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(ended) => return Ok(ended.map(|(_, status)| ExitStatus::from_raw(status.as_raw()))),
        }
    }
}

/// Puts the streams in their places.
fn take_streams(streams: Streams) -> io::Result<()> {
    let [stdin, stdout, stderr] = streams;
    let null = || -> io::Result<OwnedFd> {
        Ok(std::fs::File::options().read(true).write(true).open("/dev/null")?.into())
    };
    let or_null = |stream: Option<OwnedFd>| stream.map_or_else(null, Ok);
    // All of them before the first is put: opening must not be answered with a place that is about to be taken.
    let streams = (or_null(stdin)?, or_null(stdout)?, or_null(stderr)?);
    rustix::stdio::dup2_stdin(&streams.0)?;
    rustix::stdio::dup2_stdout(&streams.1)?;
    Ok(rustix::stdio::dup2_stderr(&streams.2)?)
}

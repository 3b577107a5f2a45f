//! What is forked: a shim, or a command of this runtime.

use gantry_record::failpoint;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use gantry_record::resident::{Reply, Request, Shim};
use gantry_shim::Side;
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};

use super::socket::Socket;
use super::sys;
use super::{Order, Parent};
use crate::sys::exit_now;

/// Forks what is asked for. It has told the daemon that it is there, or will.
pub(super) fn fork(parent: &Parent, order: Order) -> io::Result<Pid> {
    // SAFETY: the resident parent has one thread, and so have the commands that are run in its forks.
    match unsafe { gantry_shim::fork() }? {
        Side::Parent(pid) => Ok(pid),
        Side::Child => {
            let Order { number, request, descriptors } = order;
            // A panic must not come to the parent's loop.
            let code = catch_unwind(AssertUnwindSafe(|| match request {
                Request::Shim(shim) => be_shim(parent, number, shim, descriptors),
                Request::Run(arguments) => be_command(parent, number, arguments, descriptors),
            }));
            exit_now(code.unwrap_or(Ok(PANICKED)).unwrap_or(FAILED))
        }
    }
}

/// The exit code of what could not even begin, and of what panicked.
const FAILED: i32 = 1;
const PANICKED: i32 = 101;

fn be_shim(parent: &Parent, number: u64, shim: Shim, descriptors: Vec<OwnedFd>) -> io::Result<i32> {
    let Shim { container, bundle, runtime, built_in, folder } = shim;
    rustix::process::chdir(&folder)?;
    // What a terminal sends to the daemon does not reach it.
    rustix::process::setpgid(None, None)?;
    let words =
        [OsStr::new("gantry-shim"), container.as_str().as_ref(), bundle.as_os_str(), runtime.as_ref()];
    if let Some(line) = parent.line {
        line.set(&words);
    }
    failpoint::at("runtime::resident::shim-named");
    started(&parent.socket, number)?;
    failpoint::at("runtime::resident::shim-told");
    let [ready] =
        <[OwnedFd; 1]>::try_from(descriptors).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    sys::null_stdin()?;
    rustix::stdio::dup2_stdout(&ready)?;
    rustix::stdio::dup2_stderr(rustix::stdio::stdin())?;
    let built_in = built_in.then_some(crate::run_line as gantry_shim::BuiltIn);
    let code = gantry_shim::forked(gantry_shim::Forked { container, bundle, runtime, built_in });
    Ok(i32::from(code != std::process::ExitCode::SUCCESS))
}

fn be_command(
    parent: &Parent,
    number: u64,
    arguments: Vec<OsString>,
    descriptors: Vec<OwnedFd>,
) -> io::Result<i32> {
    failpoint::at("runtime::resident::command-begun");
    started(&parent.socket, number)?;
    failpoint::at("runtime::resident::command-told");
    let streams =
        <[OwnedFd; 3]>::try_from(descriptors).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    rustix::stdio::dup2_stdin(&streams[0])?;
    rustix::stdio::dup2_stdout(&streams[1])?;
    rustix::stdio::dup2_stderr(&streams[2])?;
    drop(streams);
    crate::sys::reset_signals();
    let code = crate::run_line(&mut arguments.into_iter());
    // Before the end of standard output can be seen, or a parent that was killed meanwhile would keep it for itself.
    parent.socket.reply(number, Reply::Ended { wait_status: i32::from(code) << 8 }, None);
    Ok(i32::from(code))
}

/// Tells the daemon who this is. A pidfd of its own, so that no number is ever mistaken.
fn started(socket: &Socket, number: u64) -> io::Result<()> {
    let pid = getpid();
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let started = Reply::Started { pid: pid.as_raw_nonzero().get() };
    socket.reply(number, started, Some(pidfd.as_fd()));
    Ok(())
}

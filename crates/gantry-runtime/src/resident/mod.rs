//! `gantry-runtime resident ROOM`: the process from which a daemon has its shims forked, and commands of this runtime run,
//! without an execve for each. [`gantry_record::resident`] is what it and the daemon say to each other.
//!
//! It holds nothing that anybody would miss: a daemon whose resident parent is killed starts another and executes programs
//! meanwhile, and what was forked goes on. It ends with its daemon, whose end of the socket then closes. Its pages are shared
//! by all that it forks, so it keeps few and writes little: one thread, and memory only for a request at a time.

mod fork;
mod socket;
mod sys;

use gantry_record::failpoint;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;

use gantry_record::resident::{ALLOCATOR, Reply, Request};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, wait};

use crate::error::{Result, system};
use crate::protection;
use crate::sys::SignalSet;
use socket::Socket;
use sys::CommandLine;

/// The parent.
struct Parent {
    socket: Socket,
    line: Option<CommandLine>,
}

/// What it is asked for.
struct Order {
    number: u64,
    request: Request,
    descriptors: Vec<OwnedFd>,
}

/// Whether this process is to be a resident parent. Known before the command line is understood, for what that leaves in
/// memory every shim would have to pay for.
pub(crate) fn is_wanted() -> bool {
    std::env::args_os().nth(1).is_some_and(|command| command == "resident")
}

/// Serves the daemon at the other end of standard input until it goes away. What stands on the command line after
/// `resident` means nothing and makes room for the command lines of what is forked.
pub(crate) fn run() -> Result<()> {
    // What is forked from here enters containers.
    protection::ensure()?;
    sys::remove_from_environment(ALLOCATOR.0);
    failpoint::arm("runtime");
    failpoint::at("runtime::resident::begun");
    let parent = Parent { socket: Socket::take_stdin()?, line: CommandLine::find() };
    if let Some(line) = parent.line {
        line.set(&["gantry-runtime", "resident"].map(OsStr::new));
    }
    let signals = SignalSet::of_children();
    signals.block();
    let children = signals.descriptor().map_err(system("open a descriptor for signals"))?;
    parent.socket.greet()?;
    failpoint::at("runtime::resident::greeted");
    // Commands that were not seen to end yet, and the numbers of their requests.
    let mut commands: Vec<(Pid, u64)> = Vec::new();
    loop {
        let mut ready = [PollFd::new(&parent.socket, PollFlags::IN), PollFd::new(&children, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(system("wait for requests")(error)),
        }
        let [requests, ended] = ready.map(|source| !source.revents().is_empty());
        if ended {
            sys::forget_signals(&children);
            parent.reap(&mut commands);
        }
        if requests {
            match parent.socket.receive()? {
                Some(order) => parent.serve(&mut commands, order),
                None => return Ok(()),
            }
        }
    }
}

impl Parent {
    fn serve(&self, commands: &mut Vec<(Pid, u64)>, order: Order) {
        let (number, is_command) = (order.number, matches!(order.request, Request::Run(_)));
        failpoint::at("runtime::resident::asked");
        let forked = failpoint::io("runtime::resident::fork").map_err(Into::into);
        match forked.and_then(|()| fork::fork(self, order)) {
            Ok(pid) if is_command => {
                failpoint::at("runtime::resident::command-forked");
                commands.push((pid, number));
            }
            Ok(_) => failpoint::at("runtime::resident::shim-forked"),
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                self.socket.reply(number, Reply::Refused { errno }, None);
            }
        }
    }

    /// Reaps whatever has ended. A command tells its own end; it is told here too for one that was killed.
    fn reap(&self, commands: &mut Vec<(Pid, u64)>) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if let Some(at) = commands.iter().position(|(command, _)| *command == pid) {
                let (_, number) = commands.swap_remove(at);
                self.socket.reply(number, Reply::Ended { wait_status: status.as_raw() }, None);
            }
        }
    }
}

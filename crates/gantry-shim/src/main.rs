//! The shim: stands beside one process of a container and outlives the daemon.
//!
//! `gantry-shim ID BUNDLE RUNTIME`, run in the process's folder. It has the OCI runtime make the process, keeps
//! its standard streams or terminal open, reaps it and all that becomes an orphan below it, writes down how it
//! ended, has the runtime forget the container, and reports the end by closing the `exit` FIFO. One thread, no
//! async runtime, and no allocation while it only waits. `gantry-shim --adopt ID BUNDLE RUNTIME` does all of this but
//! the first for a process whose shim has died.
//!
//! It must not know the daemon or any wire protocol. Start reading at [`life`], the order of things;
//! [`contract`] is the front to the daemon, [`stdio`] the streams, [`logging`] what becomes of those that are logged.

mod cgroup;
mod console;
mod contract;
mod error;
mod event_loop;
mod hardening;
mod life;
mod logging;
mod oom;
mod process;
mod reaper;
mod runtime;
mod stdio;
mod sys;

use contract::{Arguments, Invocation, Readiness, ShimLog};
use rustix::fs::Mode;
use std::process::ExitCode;

/// The command line was wrong.
const USAGE_ERROR: u8 = 2;

fn main() -> ExitCode {
    match contract::parse(std::env::args_os().skip(1)) {
        Ok(Invocation::Version) => {
            println!("gantry-shim {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Ok(Invocation::Run(arguments)) => run(arguments),
        Err(problem) => {
            eprintln!("gantry-shim: {problem}\n{}", contract::USAGE);
            ExitCode::from(USAGE_ERROR)
        }
    }
}

fn run(arguments: Arguments) -> ExitCode {
    sys::close_inherited();
    let readiness = Readiness::hello();
    // What the shim makes is for root only; what the runtime makes is as the daemon wants it.
    let inherited_umask = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let log = match ShimLog::open() {
        Ok(log) => log,
        Err(error) => {
            eprintln!("gantry-shim: {error}");
            return ExitCode::FAILURE;
        }
    };
    let Err(error) = life::run(arguments, inherited_umask, readiness, &log) else {
        return ExitCode::SUCCESS;
    };
    if !matches!(error, error::Error::RuntimeRefused) {
        log.error(error.to_string());
        eprintln!("gantry-shim: {error}");
    }
    if error.is_the_runtimes() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

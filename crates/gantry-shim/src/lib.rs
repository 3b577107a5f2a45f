//! The shim: stands beside one process of a container and outlives the daemon.
//!
//! `gantry-shim ID BUNDLE RUNTIME`, run in the process's folder. It has the OCI runtime make the process, keeps
//! its standard streams or terminal open, reaps it and all that becomes an orphan below it, writes down how it
//! ended, has the runtime forget the container, and reports the end by closing the `exit` FIFO. One thread, no
//! async runtime, and no allocation while it only waits. `gantry-shim --adopt ID BUNDLE RUNTIME` does all of this but
//! the first for a process whose shim has died.
//!
//! The program of this name is [`main`] and nothing else. [`forked`] is the same shim in a fork of a resident parent, which
//! has the built-in runtime in it too.
//!
//! It must not know the daemon or any wire protocol. Start reading at [`life`], the order of things;
//! [`contract`] is the front to the daemon, [`stdio`] the streams, [`logging`] what becomes of those that are logged.

mod cgroup;
mod console;
mod contract;
mod error;
mod event_loop;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hardening;
mod life;
mod logging;
mod oom;
mod process;
mod reaper;
mod runtime;
mod stdio;
mod sys;

use contract::{Arguments, Invocation, Origin, Readiness, ShimLog};
use gantry_record::ContainerId;
use gantry_record::failpoint;
use rustix::fs::Mode;
use std::path::PathBuf;
use std::process::ExitCode;

pub use runtime::BuiltIn;
pub use sys::{Side, fork};

/// The command line was wrong.
const USAGE_ERROR: u8 = 2;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    match contract::parse(std::env::args_os().skip(1)) {
        Ok(Invocation::Version) => {
            println!("gantry-shim {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Ok(Invocation::Run(arguments)) => run(arguments, None),
        Err(problem) => {
            eprintln!("gantry-shim: {problem}\n{}", contract::USAGE);
            ExitCode::from(USAGE_ERROR)
        }
    }
}

/// What a shim in a fork is told; see [`gantry_record::resident::Shim`].
#[derive(Debug)]
pub struct Forked {
    /// The container.
    pub container: ContainerId,
    /// Its bundle.
    pub bundle: PathBuf,
    /// Name or path of the OCI runtime.
    pub runtime: String,
    /// The runtime, if it is part of this program.
    pub built_in: Option<BuiltIn>,
}

/// Is a shim in a process that was forked for it: one thread, the process's folder as its working directory, standard
/// streams as [`main`] has them. All other descriptors are closed, so nothing that owns one may be used or dropped afterwards.
#[must_use]
pub fn forked(shim: Forked) -> ExitCode {
    let Forked { container, bundle, runtime, built_in } = shim;
    run(Arguments { origin: Origin::Start, id: container, bundle, runtime }, built_in)
}

fn run(arguments: Arguments, built_in: Option<BuiltIn>) -> ExitCode {
    sys::close_inherited();
    failpoint::arm("shim");
    failpoint::at("shim::begun");
    let readiness = Readiness::hello();
    failpoint::at("shim::hello-said");
    // What the shim makes is for root only; what the runtime makes is as the daemon wants it.
    let inherited_umask = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let log = match ShimLog::open() {
        Ok(log) => log,
        Err(error) => {
            eprintln!("gantry-shim: {error}");
            return ExitCode::FAILURE;
        }
    };
    let Err(error) = life::run(arguments, built_in, inherited_umask, readiness, &log) else {
        return ExitCode::SUCCESS;
    };
    if !matches!(error, error::Error::RuntimeRefused) {
        log.error(error.to_string());
        eprintln!("gantry-shim: {error}");
    }
    if error.is_the_runtimes() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

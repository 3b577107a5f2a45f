//! Bundles and throw-away daemons for tests and benchmarks.
//!
//! Everything that a test makes lives in one [`Scratch`]: a temporary folder and a cgroup of the same name. When the
//! last handle to it goes, also by a panic, whatever still belongs to it is ended by id and removed: daemons, shims,
//! containers, mounts, cgroups, files. Nothing outside is ever touched, so tests run beside each other and beside
//! real containers.
//!
//! It drives the real binaries ([`Binaries`]) from outside, by command line, socket and `/proc`, and must not know
//! the insides of the daemon. A failed expectation is a panic with its context: this is a library for tests.
//!
//! Start reading at [`Daemon`] (what a test talks to), [`Bundle`] (what it runs) and [`Leaks`] (what must not remain).
//! `GANTRY_TEST_KEEP=1` keeps the files of a scratch for a look.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step of a test ends the test, with its reason"
)]

mod binaries;
mod bundle;
mod cgroup;
mod daemon;
mod failpoints;
mod fifo;
mod finish;
mod leaks;
mod mounts;
mod notify;
mod process;
mod random;
mod runtime;
mod scratch;
mod spec;
pub mod stress;
mod tmux;
mod wait;

pub use binaries::{Binaries, MissingBinary};
pub use bundle::{Bundle, BundleBuilder};
pub use daemon::{Daemon, DaemonOptions};
pub use failpoints::Failpoints;
pub use fifo::{Collector, Fifo, Lines, StdioFifos};
pub use finish::{Finished, finish};
pub use leaks::Leaks;
pub use process::Process;
pub use random::Random;
pub use runtime::{Runtime, RuntimeCommand};
pub use scratch::Scratch;
pub use tmux::Tmux;
pub use wait::{patient, wait_for, wait_until};

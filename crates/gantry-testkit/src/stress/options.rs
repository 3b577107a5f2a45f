//! The command line.

use super::faults::Fault;
use crate::Runtime;
use clap::{Parser, Subcommand, ValueEnum};
use std::time::Duration;

/// Long runs against a throw-away gantryd, as root. `make build` makes the programs that are tried.
#[derive(Debug, Parser)]
#[command(name = "gantry-testkit", version)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Random operations by many clients while daemon, shims, runtimes and processes are killed and the disk is full;
    /// afterwards nothing is lost, doubled, wrong or left behind, or the exit code is 1.
    ///
    /// Each process's true exit status is known: by its own command line, by the signal that was sent, or from what was
    /// killed. All events are followed and compared with it. Ctrl-C ends the run early; it is audited all the same.
    ///
    /// Example: gantry-testkit stress --minutes 5 --faults daemon-kill,full-disk
    Stress(Options),
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Options {
    /// How long, without the audit at the end; a fraction is fine.
    #[arg(long, default_value_t = 1.0, value_name = "N")]
    pub(super) minutes: f64,
    /// Where all choices come from; printed, so that a run can be done again. Without one it is chosen by the clock.
    #[arg(long, value_name = "NUMBER")]
    pub(super) seed: Option<u64>,
    /// Clients at the same time, each with a connection and containers of its own.
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub(super) clients: usize,
    /// `all`, `none`, or a list: daemon-kill, daemon-term, daemon-stop, shim-kill, shim-stop, runtime-kill, payload-kill,
    /// full-disk, disconnect, silent-subscriber, half-open.
    #[arg(long, default_value = "all", value_name = "LIST")]
    faults: String,
    /// OCI runtimes: built-in, runc, crun. Most containers go through the first.
    #[arg(long, value_delimiter = ',', default_value = "built-in,runc,crun", value_name = "LIST")]
    pub(super) runtimes: Vec<RuntimeName>,
    /// Size of the disk with the daemon's state dir, a tmpfs, in MiB.
    #[arg(long, default_value_t = 64, value_name = "MIB")]
    pub(super) disk: u64,
    /// Processes live on when their shims are killed (gantryd's `--on-shim-death=adopt`).
    #[arg(long)]
    pub(super) adopt: bool,
    /// Keep the folder of the run also when nothing is wrong.
    #[arg(long)]
    pub(super) keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RuntimeName {
    BuiltIn,
    Runc,
    Crun,
}

impl From<RuntimeName> for Runtime {
    fn from(name: RuntimeName) -> Self {
        match name {
            RuntimeName::BuiltIn => Self::BuiltIn,
            RuntimeName::Runc => Self::Runc,
            RuntimeName::Crun => Self::Crun,
        }
    }
}

impl Options {
    pub(super) fn duration(&self) -> Result<Duration, String> {
        Duration::try_from_secs_f64(self.minutes * 60.0)
            .map_err(|error| format!("--minutes {}: {error}: give a number above zero", self.minutes))
    }

    pub(super) fn faults(&self) -> Result<Vec<Fault>, String> {
        match self.faults.as_str() {
            "all" => Ok(Fault::ALL.to_vec()),
            "none" => Ok(Vec::new()),
            list => list.split(',').map(|name| Fault::named(name.trim())).collect(),
        }
    }
}

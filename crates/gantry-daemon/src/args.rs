//! The daemon's flags, spelled as containerd 0.2 spelled them.

use crate::duration::parse_go_duration;
use clap::{ArgAction, Parser, ValueEnum};
use gantry_container::OnShimDeath;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  gantryd
      Serve on the default socket with the built-in runtime.
  gantryd --runtime runc
      Run containers that name no runtime with runc.
  gantryd --listen unix:///tmp/g/gantryd.sock --state-dir /tmp/g/state --runtime-args --root=/tmp/g/runtime
      A private daemon that touches nothing of the system's own.

Stopping the daemon (SIGTERM, SIGINT) leaves containers running; the next one with the same state dir takes over.";

/// Starts, watches and remembers containers.
#[derive(Clone, Debug, Parser)]
#[command(version, after_help = EXAMPLES, disable_version_flag = true)]
pub(crate) struct Args {
    /// Log everything that helps to find a fault
    #[arg(long)]
    pub debug: bool,

    /// What to log: debug, info, warn or error; wins over --debug
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,

    /// How log lines look
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// Where to remember containers
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,

    /// Where to serve: unix:///PATH, or tcp://HOST:PORT without any protection
    #[arg(long, short, value_name = "ADDRESS")]
    pub listen: String,

    /// Name or path of the OCI runtime for containers that name none
    #[arg(long, short, value_name = "RUNTIME")]
    pub runtime: String,

    /// An argument for the runtime, placed before its subcommand; may be repeated
    #[arg(long, value_name = "ARG", allow_hyphen_values = true, action = ArgAction::Append)]
    pub runtime_args: Vec<String>,

    /// Name or path of the shim
    #[arg(long, value_name = "SHIM")]
    pub shim: String,

    /// What becomes of a process whose shim dies: it is killed (status 137), or lives on beside a new shim
    #[arg(long, value_enum, value_name = "WHAT", default_value = "kill")]
    pub on_shim_death: ShimDeath,

    /// How long a start may take, such as 30s or 2m
    #[arg(long, value_name = "DURATION", value_parser = parse_go_duration, default_value = "30s")]
    pub start_timeout: Duration,

    /// How many events to remember; 0 for all
    #[arg(long, value_name = "N", allow_hyphen_values = true, default_value_t = 500)]
    pub retain_count: i64,

    /// How many containers or processes may be starting at once; 0 for what the processors suggest
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub concurrency: usize,

    /// Print the version
    #[arg(long, short, action = ArgAction::Version)]
    version: Option<bool>,
}

/// What becomes of a process whose shim dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShimDeath {
    /// It is killed.
    Kill,
    /// It lives on.
    Adopt,
}

impl From<ShimDeath> for OnShimDeath {
    fn from(death: ShimDeath) -> Self {
        match death {
            ShimDeath::Kill => Self::Kill,
            ShimDeath::Adopt => Self::Adopt,
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Args {
    /// Starts that may run at once. A start mostly waits for the kernel, so a few for each processor; never
    /// fewer than 0.2's ten.
    pub(crate) fn start_workers(&self) -> usize {
        if self.concurrency > 0 {
            return self.concurrency;
        }
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        (processors * 4).max(10)
    }

    /// Events to keep; what is not positive means all.
    pub(crate) fn retain_events(&self) -> usize {
        usize::try_from(self.retain_count).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Args, clap::Error> {
        let required = ["gantryd", "--state-dir=/s", "--listen=unix:///l", "--runtime=r", "--shim=s"];
        Args::try_parse_from(required.iter().chain(args))
    }

    #[test]
    fn takes_what_dockerd_passes() {
        let args = parse(&[
            "--start-timeout",
            "2m",
            "--runtime-args",
            "--systemd-cgroup=true",
            "--runtime-args",
            "-x",
        ]);
        let args = args.unwrap();
        assert_eq!(args.runtime_args, ["--systemd-cgroup=true", "-x"]);
        assert_eq!(args.start_timeout, Duration::from_secs(120));
    }

    #[test]
    fn zero_and_less_mean_all_events() {
        assert_eq!(parse(&["--retain-count", "-1"]).unwrap().retain_events(), 0);
        assert_eq!(parse(&[]).unwrap().retain_events(), 500);
        assert!(parse(&[]).unwrap().start_workers() >= 10);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(parse(&["--start-timeout", "soon"]).is_err());
        assert!(parse(&["--no-such-flag"]).is_err());
    }
}

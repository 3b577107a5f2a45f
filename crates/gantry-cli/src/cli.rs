//! What can be typed: the options before a command, and the commands.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{
    checkpoint, events, exec, inspect, kill, logs, pause, ps, rm, run, shim, stats, top, update, version,
};

/// Where gantryd listens unless it is told otherwise.
const DEFAULT_ADDRESS: &str = "unix:///run/gantry/gantryd.sock";

/// `run` and `exec` end with the status of what they ran, so their own failures have one that commands seldom use.
const FAILURE_OF_A_RUN: u8 = 125;
const FAILURE: u8 = 1;

const EXAMPLES: &str = "\
Examples:
  gantry run                              a first container: says hello and ends
  gantry run --rm -it                     a shell in a container that leaves nothing behind
  gantry run -d --name one sleep 60       one in the background
  gantry ps                               what runs
  gantry exec -it one sh                  a shell in a running container
  gantry logs -f one                      the output of a container in the background
  gantry rm -f one                        end and remove it
  gantry --address /tmp/g.sock ps         ask another daemon

Every command has a --help of its own.";

/// Run containers and look after them.
#[derive(Debug, Parser)]
#[command(name = "gantry", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Cli {
    /// The daemon's socket: unix:///PATH, /PATH or tcp://HOST:PORT
    #[arg(long, value_name = "ADDR", env = "GANTRY_ADDRESS", default_value = DEFAULT_ADDRESS)]
    pub(crate) address: String,

    /// Where to keep bundles and logs; beside the daemon's socket by default
    #[arg(long, value_name = "DIR", env = "GANTRY_BUNDLES", hide = true)]
    pub(crate) bundles: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command in a new container
    Run(Box<run::Args>),
    /// List containers
    Ps(ps::Args),
    /// Run a command in a running container
    Exec(Box<exec::Args>),
    /// Send a signal to a container, or to a process in it
    Kill(kill::Args),
    /// Remove containers
    Rm(rm::Args),
    /// Show the output of a container that runs in the background
    Logs(logs::Args),
    /// Show what happens to containers, as it happens
    Events(events::Args),
    /// Show everything that is known about a container, as JSON
    Inspect(inspect::Args),
    /// Stop all processes of a container until it is resumed
    Pause(pause::Args),
    /// Let a paused container go on
    Resume(pause::Args),
    /// Change what a running container may use
    Update(update::Args),
    /// Write the state of a running container to disk, to start another one from
    Checkpoint(checkpoint::Args),
    /// Look after the shims of running containers
    Shim(shim::Args),
    /// Show what containers use
    Stats(stats::Args),
    /// Show the processes of a container
    Top(top::Args),
    /// Show the versions of client and daemon
    Version(version::Args),
}

// === impl Command ===

impl Command {
    /// The exit status when the command itself fails.
    pub(crate) fn failure_status(&self) -> u8 {
        match self {
            Self::Run(_) | Self::Exec(_) => FAILURE_OF_A_RUN,
            _ => FAILURE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    #[test]
    fn definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_the_command_is_left_alone() {
        let Command::Run(args) = parse("gantry run --rm -it -e A=1 sh -c x --rm -- -e").unwrap() else {
            panic!("not run");
        };
        assert_eq!(args.command, ["sh", "-c", "x", "--rm", "--", "-e"]);
        assert!(args.rm && args.stdio.terminal && args.stdio.interactive);

        let Command::Exec(args) = parse("gantry exec -u 1:2 web ls -t --help").unwrap() else {
            panic!("not exec");
        };
        assert_eq!((args.container.as_str(), args.command.join(" ")), ("web", "ls -t --help".to_owned()));
    }

    #[test]
    fn runtime_arguments_may_start_with_dashes() {
        let Command::Run(args) =
            parse("gantry run --runtime-arg --root=/x --runtime-arg --debug true").unwrap()
        else {
            panic!("not run");
        };
        assert_eq!(args.runtime_args, ["--root=/x", "--debug"]);
    }

    #[test]
    fn contradictions_are_refused() {
        for line in [
            "gantry run -d --rm x",
            "gantry run -d -i x",
            "gantry run --bogus x",
            "gantry run --rootfs /a --bundle /b",
            "gantry run --bundle /b -e A=1",
            "gantry run --name a/b x",
            "gantry exec web",
            "gantry kill -s NOPE web",
            "gantry rm",
            "gantry",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}

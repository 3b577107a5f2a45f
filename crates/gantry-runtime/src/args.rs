//! The command line, runc's: global flags before the command, the command's own after it.

mod checkpoint;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::id::ContainerId;
use crate::signal::SignalNumber;
use crate::user::UserSpec;

pub(crate) use checkpoint::{Checkpoint, Criu, Restore};

/// What `--version` prints after the name: the version and that of the specification.
const VERSION: &str = concat!("version ", env!("CARGO_PKG_VERSION"), "\nspec: 1.2.0");

/// The command line as typed.
#[derive(Debug, Parser)]
#[command(
    name = "gantry-runtime",
    about = "Run containers of the OCI runtime specification",
    version = VERSION,
    disable_version_flag = true,
    subcommand_required = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads the command line, given without the program's name. Help and version are printed, and a mistake is told as any
    /// other failure is, in the log too if that much was understood; the error is the exit code then.
    pub(crate) fn read(arguments: &mut dyn Iterator<Item = OsString>) -> Result<Self, ExitCode> {
        let line: Vec<OsString> = std::iter::once("gantry-runtime".into()).chain(arguments).collect();
        let error = match Self::try_parse_from(&line) {
            Ok(cli) => return Ok(cli),
            Err(error) if !error.use_stderr() => {
                return Err(if error.print().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            Err(error) => error,
        };
        let understood = Self::command().ignore_errors(true).try_get_matches_from(&line).ok();
        let log = understood.as_ref().and_then(|matches| matches.get_one::<PathBuf>("log").cloned());
        let format =
            understood.as_ref().and_then(|matches| matches.get_one::<LogFormat>("log_format").copied());
        let text = error.render().to_string();
        let message = text.trim().strip_prefix("error: ").unwrap_or(&text);
        let error = Error::Usage(message.split("\n\n").next().unwrap_or(message).to_owned());
        crate::logging::report(log.as_deref(), format.unwrap_or(LogFormat::Text), &error);
        Err(ExitCode::FAILURE)
    }
}

/// Flags that stand before the command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Directory for the state of containers
    #[arg(long, value_name = "DIR", default_value = "/run/gantry/runtime")]
    pub(crate) root: PathBuf,
    /// File to which errors are appended
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Form of the lines in the log
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Tell each step on standard error
    #[arg(long)]
    pub(crate) debug: bool,
    /// Let systemd manage cgroups (not supported: refused)
    #[arg(long)]
    pub(crate) systemd_cgroup: bool,
    /// Accepted for compatibility; the runtime needs root
    #[arg(long, value_name = "MODE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) rootless: Option<String>,
    /// Print the version and exit
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// Form of the lines in the `--log` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a container; its process waits for `start`
    Create(Create),
    /// Start the process of a created container
    Start(Target),
    /// Create a container, start it and, unless detached, wait for it
    Run(Run),
    /// Run another process in a container
    Exec(Exec),
    /// Print the state of a container as JSON
    State(Target),
    /// Send a signal to a container's first process
    Kill(Kill),
    /// Remove what a stopped container holds
    Delete(Delete),
    /// List containers
    List(List),
    /// List the processes in a container
    Ps(Ps),
    /// Freeze the processes of a container
    Pause(Target),
    /// Thaw the processes of a container
    Resume(Target),
    /// Print resource usage of a container
    Events(Events),
    /// Change the resource limits of a container
    Update(Box<Update>),
    /// Write a container's processes to disk (CRIU)
    Checkpoint(Checkpoint),
    /// Make a container from a checkpoint (CRIU)
    Restore(Restore),
    /// Write a config.json to start from
    Spec(Spec),
    /// Print what this runtime can do as JSON
    Features,
}

/// A command with nothing but an id.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The container
    pub(crate) id: ContainerId,
}

/// Flags of every command that makes a container.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// Directory with config.json and the root filesystem
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) bundle: PathBuf,
    /// Unix socket that receives the terminal's master
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    /// File for the process id of the container's process
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
}

/// Flags of `create` that `run` shares.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The container
    pub(crate) id: ContainerId,
    #[command(flatten)]
    pub(crate) new: New,
    /// Move the root instead of pivoting, for a rootfs on a ramdisk
    #[arg(long)]
    pub(crate) no_pivot: bool,
    /// Keep the caller's session keyring instead of making one
    #[arg(long)]
    pub(crate) no_new_keyring: bool,
    /// Number of descriptors after the first three that the process inherits
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) preserve_fds: u16,
}

/// Flags of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) create: Create,
    /// Leave the container running in the background
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Keep the container's state after its process ended
    #[arg(long)]
    pub(crate) keep: bool,
}

/// Flags of `exec`.
#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// Leave the process running in the background
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// File with the process as JSON, instead of a command
    #[arg(short, long, value_name = "FILE")]
    pub(crate) process: Option<PathBuf>,
    /// Unix socket that receives the terminal's master
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    /// File for the process id
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Give the process a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Working directory in the container
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
    /// Set an environment variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// Whom to run as
    #[arg(short, long, value_name = "UID[:GID]")]
    pub(crate) user: Option<UserSpec>,
    /// Additional group of the process
    #[arg(short = 'g', long, value_name = "GID")]
    pub(crate) additional_gids: Vec<u32>,
    /// Capability to add to the container's own
    #[arg(short, long, value_name = "CAP")]
    pub(crate) cap: Vec<String>,
    /// AppArmor profile of the process
    #[arg(long, value_name = "PROFILE")]
    pub(crate) apparmor: Option<String>,
    /// Never gain privileges
    #[arg(long)]
    pub(crate) no_new_privs: bool,
    /// Number of descriptors after the first three that the process inherits
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) preserve_fds: u16,
    /// The container
    pub(crate) id: ContainerId,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// Flags of `kill`.
#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// Signal every process in the container
    #[arg(short, long)]
    pub(crate) all: bool,
    /// The container
    pub(crate) id: ContainerId,
    /// Name or number of the signal
    #[arg(default_value = "TERM")]
    pub(crate) signal: SignalNumber,
}

/// Flags of `delete`.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Kill a running container first; a missing one is no error
    #[arg(short, long)]
    pub(crate) force: bool,
    /// The container
    pub(crate) id: ContainerId,
}

/// Form of `list` and `ps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    Table,
    Json,
}

/// Flags of `list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Form of the list
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) format: ListFormat,
    /// Print ids only
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Flags of `ps`.
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Form of the list
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) format: ListFormat,
    /// The container
    pub(crate) id: ContainerId,
}

/// Flags of `events`.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Print the usage once and exit
    #[arg(long)]
    pub(crate) stats: bool,
    /// Seconds between two prints
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(crate) interval: u32,
    /// The container
    pub(crate) id: ContainerId,
}

/// Flags of `update`.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// File with the limits as JSON, or - for standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) resources: Option<PathBuf>,
    /// Memory limit in bytes
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    pub(crate) memory: Option<i64>,
    /// Memory and swap limit in bytes
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    pub(crate) memory_swap: Option<i64>,
    /// Soft memory limit in bytes
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    pub(crate) memory_reservation: Option<i64>,
    /// Relative weight of CPU time
    #[arg(long, alias = "cpu-share", value_name = "SHARES")]
    pub(crate) cpu_shares: Option<u64>,
    /// CPU time per period in microseconds
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    pub(crate) cpu_quota: Option<i64>,
    /// Period of the CPU quota in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_period: Option<u64>,
    /// CPUs to run on
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_mems: Option<String>,
    /// Highest number of processes
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) pids_limit: Option<i64>,
    /// Relative weight of block I/O
    #[arg(long, value_name = "WEIGHT")]
    pub(crate) blkio_weight: Option<u16>,
    /// The container
    pub(crate) id: ContainerId,
}

/// Flags of `spec`.
#[derive(Debug, Args)]
pub(crate) struct Spec {
    /// Directory to write config.json to
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) bundle: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_a_supervisor_types_is_understood() {
        let line = "gantry-runtime --root /r --log /l --log-format json create --bundle /b --pid-file /p c1";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(cli.global.log_format, LogFormat::Json);
        let Command::Create(create) = cli.command else { panic!("not create") };
        assert_eq!((create.id.as_str(), create.new.pid_file), ("c1", Some("/p".into())));
    }

    #[test]
    fn the_command_of_exec_keeps_its_flags() {
        let line =
            ["gantry-runtime", "exec", "-d", "--pid-file", "/p", "c1", "sh", "-c", "exit 3", "--", "-t"];
        let cli = Cli::try_parse_from(line).unwrap();
        let Command::Exec(exec) = cli.command else { panic!("not exec") };
        assert!(exec.detach && !exec.tty);
        assert_eq!(exec.command[..3], ["sh", "-c", "exit 3"]);
    }

    #[test]
    fn kill_defaults_to_term() {
        let cli = Cli::try_parse_from(["gantry-runtime", "kill", "c1"]).unwrap();
        let Command::Kill(kill) = cli.command else { panic!("not kill") };
        assert_eq!(kill.signal.raw(), 15);
    }
}

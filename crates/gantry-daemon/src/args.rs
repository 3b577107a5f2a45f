//! The daemon's flags, spelled as containerd 0.2 spelled them.
//!
//! Each setting is defined once, here: the configuration file and the environment ([`crate::config`]) use the same
//! names, the same values and the same checks.

use crate::duration::{parse_go_duration, parse_interval};
use crate::logging::{Level, LogFormat};
use crate::names::Names;
use crate::telemetry::Endpoint;
use clap::builder::ValueParser;
use clap::{ArgAction, CommandFactory, Parser, Subcommand, ValueEnum};
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
  gantryd config default > /etc/gantry/gantryd.toml
      Begin a configuration file.

A flag wins over the environment (GANTRYD_START_TIMEOUT for --start-timeout), and that over the configuration file.
Stopping the daemon (SIGTERM, SIGINT) leaves containers running; the next one with the same state dir takes over.
SIGHUP reads the configuration again; SIGUSR1 writes what the daemon is doing to the log.";

/// Starts, watches and remembers containers.
#[derive(Clone, Debug, Parser)]
#[command(version, after_help = EXAMPLES, disable_version_flag = true, disable_help_subcommand = true,
    args_override_self = true, max_term_width = 110)]
pub(crate) struct Args {
    /// Read settings from this file
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub config: Option<PathBuf>,

    /// Log everything that helps to find a fault
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "false", value_parser = parse_go_bool, action = ArgAction::Set, hide_default_value = true)]
    pub debug: bool,

    /// What to log: debug, info, warn or error; wins over --debug
    #[arg(long, value_name = "LEVEL", value_parser = |text: &str| text.parse::<Level>())]
    pub log_level: Option<Level>,

    /// How log lines look
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// Where to remember containers
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,

    /// Where to serve: unix:///PATH, tcp://HOST:PORT, or fd:// for a socket from systemd
    #[arg(long, short, value_name = "ADDRESS")]
    pub listen: String,

    /// The certificate chain that a tcp listener shows, as PEM
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub tls_cert: Option<PathBuf>,

    /// The private key of that certificate, as PEM
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub tls_key: Option<PathBuf>,

    /// Serve only clients with a certificate that one of these authorities signed, as PEM
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub tls_client_ca: Option<PathBuf>,

    /// Name or path of the OCI runtime for containers that name none
    #[arg(long, short, value_name = "RUNTIME")]
    pub runtime: String,

    /// An argument for the runtime, placed before its subcommand; may be repeated
    #[arg(long, value_name = "ARG", allow_hyphen_values = true, action = ArgAction::Append)]
    pub runtime_args: Vec<String>,

    /// Name or path of the shim
    #[arg(long, value_name = "SHIM")]
    pub shim: String,

    /// How shims start: forked from a resident parent, which saves memory and time, or each executed
    #[arg(long, value_enum, value_name = "HOW", default_value = "fork")]
    pub shim_start: ShimStart,

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

    /// How much the kernel prefers the daemon when memory is short, -1000 (never) to 1000; as inherited by default
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = clap::value_parser!(i16).range(-1000..=1000))]
    pub oom_score_adj: Option<i16>,

    /// Where to serve metrics for Prometheus, at /metrics: HOST:PORT or unix:///PATH
    #[arg(long, value_name = "ADDRESS", help_heading = "Telemetry")]
    pub metrics_address: Option<String>,

    /// Where to serve /metrics, /debug/vars and /debug/tasks: HOST:PORT or unix:///PATH
    #[arg(long, value_name = "ADDRESS", help_heading = "Telemetry")]
    pub pprof_address: Option<String>,

    /// How often to log the metrics, with --debug; 0 for never
    #[arg(long, value_name = "DURATION", value_parser = parse_interval, default_value = "5m0s",
        allow_hyphen_values = true, help_heading = "Telemetry")]
    pub metrics_interval: Duration,

    /// Where to send the metrics every 10 s in Graphite's plain text; --metrics-address is its successor
    #[arg(long, value_name = "HOST:PORT", help_heading = "Telemetry")]
    pub graphite_address: Option<String>,

    /// Where to send traces of starts, as OTLP over HTTP in JSON: http://HOST:PORT, or with a path
    #[arg(long, value_name = "URL", value_parser = |text: &str| text.parse::<Endpoint>(), help_heading = "Telemetry")]
    pub otlp_endpoint: Option<Endpoint>,

    /// Print the version
    #[arg(long, short, action = ArgAction::Version)]
    version: Option<bool>,

    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What can be done instead of serving.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at the configuration file
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// What can be done with the configuration file.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print a file with every setting, its meaning and its default
    Default,
    /// Say whether a file can be used, and what is wrong with it
    Check {
        /// The file; that of --config, or the one that is read by default
        file: Option<PathBuf>,
    },
}

/// How shims start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShimStart {
    /// Forked from a resident parent, where the shim is Gantry's own.
    Fork,
    /// Executed.
    Exec,
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

/// The command line of the program with this name, with the defaults that follow from the name.
pub(crate) fn command(names: &Names) -> clap::Command {
    let with_default = |value: &str| {
        let value = value.to_owned();
        move |arg: clap::Arg| arg.required(false).default_value(value)
    };
    let command = Args::command()
        .name(names.program)
        .bin_name(names.program)
        .version(names.version_text())
        .mut_arg("state_dir", with_default(names.state_dir))
        .mut_arg("listen", with_default(names.listen))
        .mut_arg("runtime", with_default(&names.runtime))
        .mut_arg("shim", with_default(&names.shim))
        .mut_arg("log_format", with_default(names.log_format));
    if names.is_containerd() {
        // 0.2 served all the same.
        let lenient = ValueParser::from(|text: &str| -> Result<Level, String> {
            Ok(text.parse().unwrap_or_else(|hint| {
                crate::complain(&format!("log level {text:?} is unknown: {hint}; using info"));
                Level::Info
            }))
        });
        command.mut_arg("log_level", |arg| arg.value_parser(lenient))
    } else {
        command
    }
}

/// Reads what Go's flag package reads as a truth.
fn parse_go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("use true or false".to_owned()),
    }
}

impl Args {
    /// What to log.
    pub(crate) fn level(&self) -> Level {
        self.log_level.unwrap_or(if self.debug { Level::Debug } else { Level::Info })
    }

    /// Whether anything was set that TLS is needed for.
    #[cfg(not(feature = "tls"))]
    pub(crate) fn wants_tls(&self) -> bool {
        self.tls_cert.is_some() || self.tls_key.is_some() || self.tls_client_ca.is_some()
    }

    /// Looks at settings that mean nothing without each other.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn validate(&self) -> Result<(), &'static str> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => Err("tls-cert needs tls-key"),
            (None, Some(_)) => Err("tls-key needs tls-cert"),
            (None, None) if self.tls_client_ca.is_some() => Err("tls-client-ca needs tls-cert and tls-key"),
            _ => Ok(()),
        }
    }

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
    use clap::FromArgMatches;
    use std::path::Path;

    fn parse_as(name: &str, args: &[&str]) -> Result<Args, clap::Error> {
        let command = command(&Names::of(Path::new(name), None));
        let matches = command.try_get_matches_from([&name].into_iter().chain(args))?;
        Args::from_arg_matches(&matches)
    }

    fn parse(args: &[&str]) -> Result<Args, clap::Error> {
        parse_as("gantryd", args)
    }

    #[test]
    fn definitions_are_consistent() {
        command(&Names::of(Path::new("gantryd"), None)).debug_assert();
        command(&Names::of(Path::new("containerd"), None)).debug_assert();
    }

    #[test]
    fn takes_what_dockerd_passes() {
        let args = parse(&[
            "--start-timeout",
            "2m",
            "--metrics-interval=0",
            "--runtime-args",
            "--systemd-cgroup=true",
            "--runtime-args",
            "-x",
        ]);
        let args = args.unwrap();
        assert_eq!(args.runtime_args, ["--systemd-cgroup=true", "-x"]);
        assert_eq!((args.start_timeout, args.metrics_interval), (Duration::from_secs(120), Duration::ZERO));
    }

    #[test]
    fn zero_and_less_mean_all_events() {
        assert_eq!(parse(&["--retain-count", "-1"]).unwrap().retain_events(), 0);
        assert_eq!(parse(&[]).unwrap().retain_events(), 500);
        assert!(parse(&[]).unwrap().start_workers() >= 10);
    }

    #[test]
    fn a_truth_may_be_spelled_out_and_the_last_one_wins() {
        assert!(parse(&["--debug"]).unwrap().debug);
        assert!(!parse(&["--debug", "--debug=false"]).unwrap().debug);
        assert_eq!(parse(&["--debug", "--log-level", "warn"]).unwrap().level(), Level::Warn);
        assert_eq!(parse(&["-l", "unix:///a", "-l", "unix:///b"]).unwrap().listen, "unix:///b");
    }

    #[test]
    fn a_certificate_goes_with_its_key() {
        assert!(parse(&["--tls-cert", "/c"]).unwrap().validate().is_err());
        assert!(parse(&["--tls-client-ca", "/c"]).unwrap().validate().is_err());
        assert!(parse(&["--tls-cert", "/c", "--tls-key", "/k"]).unwrap().validate().is_ok());
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [
            &["--start-timeout", "soon"][..],
            &["--no-such-flag"],
            &["--oom-score-adj", "-2000"],
            &["--log-level", "loud"],
        ] {
            assert!(parse(args).is_err(), "{args:?}");
        }
        // 0.2 took that for info.
        assert_eq!(parse_as("containerd", &["--log-level", "loud"]).unwrap().level(), Level::Info);
    }
}

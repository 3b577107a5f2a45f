//! What `run` and `exec` have in common: how a process is described, and how being attached to it ends.

use std::env;

use clap::ArgAction;

use crate::attach::{Ending, Stdio};
use crate::bundle::spec::User;
use crate::error::Error;
use crate::id::INIT;
use crate::output;
use crate::signal::Signal;

/// Environment, user and directory of a process.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ProcessArgs {
    /// Set a variable; `-e NAME` alone takes its value from here
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]", action = ArgAction::Append, value_parser = parse_variable)]
    pub(crate) env: Vec<String>,

    /// Run as this user; the group is 0 unless named
    #[arg(short = 'u', long = "user", value_name = "UID[:GID]", value_parser = parse_user)]
    pub(crate) user: Option<User>,

    /// Run in this directory
    #[arg(short = 'w', long = "workdir", value_name = "DIR", value_parser = parse_directory)]
    pub(crate) directory: Option<String>,
}

/// Stdio of a process.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct StdioArgs {
    /// Give it a terminal
    #[arg(short = 't', long = "tty")]
    pub(crate) terminal: bool,

    /// Send it our input
    #[arg(short = 'i', long = "interactive")]
    pub(crate) interactive: bool,
}

// === impl ProcessArgs ===

impl ProcessArgs {
    pub(crate) fn is_empty(&self) -> bool {
        self.env.is_empty() && self.user.is_none() && self.directory.is_none()
    }

    /// `base`, then the terminal's type if there is one, then what the user set; the last value of a name wins.
    pub(crate) fn environment(&self, base: Vec<String>, terminal: bool) -> Vec<String> {
        let term =
            terminal.then(|| format!("TERM={}", env::var("TERM").unwrap_or_else(|_| "xterm".to_owned())));
        let given = self.env.iter().filter_map(|variable| match variable.split_once('=') {
            Some(_) => Some(variable.clone()),
            None => env::var(variable).ok().map(|value| format!("{variable}={value}")),
        });
        let mut all: Vec<String> = Vec::new();
        for variable in base.into_iter().chain(term).chain(given) {
            let name = name_of(&variable);
            all.retain(|other| name_of(other) != name);
            all.push(variable);
        }
        all
    }
}

fn name_of(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

fn parse_variable(text: &str) -> Result<String, String> {
    match name_of(text) {
        "" => Err("a variable needs a name".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

fn parse_user(text: &str) -> Result<User, String> {
    let number = |text: &str| {
        text.parse::<u32>()
            .map_err(|_| format!("`{text}` is no number: names are not looked up in the container"))
    };
    match text.split_once(':') {
        Some((uid, gid)) => Ok(User { uid: number(uid)?, gid: number(gid)? }),
        None => Ok(User { uid: number(text)?, gid: 0 }),
    }
}

fn parse_directory(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("the path must be absolute".to_owned()) }
}

// === impl StdioArgs ===

impl From<StdioArgs> for Stdio {
    fn from(args: StdioArgs) -> Self {
        Self { stdin: args.interactive, terminal: args.terminal }
    }
}

/// The exit status of the client, and a word to the user who leaves a process behind.
pub(crate) fn conclude(ending: Ending, container: &str, process: &str) -> Result<u8, Error> {
    match ending {
        // Statuses above 255 do not exist; a daemon that sends one means "unknown".
        Ending::Exited(exit) => Ok(u8::try_from(exit.status).unwrap_or(u8::MAX)),
        Ending::TerminalGone => Ok(Signal::HUP.exit_status()),
        Ending::Left { status } => {
            let (what, way_out) = if process == INIT {
                (container.to_owned(), format!("gantry rm -f {container}"))
            } else {
                let process = format!("{container} {process}");
                (process.clone(), format!("gantry kill -s KILL {process}"))
            };
            output::note(&format!("gantry: left {what} running"));
            output::note(&format!("  hint: `{way_out}` ends it"));
            Ok(status)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(env: &[&str]) -> ProcessArgs {
        ProcessArgs { env: env.iter().map(|text| (*text).to_owned()).collect(), ..ProcessArgs::default() }
    }

    #[test]
    fn the_last_value_of_a_variable_wins() {
        let base = vec!["PATH=/bin".to_owned(), "A=0".to_owned()];
        let all =
            args(&["A=1", "B=x=y", "PATH=/sbin", "A=2", "GANTRY_TEST_NOT_SET"]).environment(base, false);
        assert_eq!(all, ["B=x=y", "PATH=/sbin", "A=2"]);
    }

    #[test]
    fn a_terminal_has_a_type() {
        let has_term = |variables: &[String]| variables.iter().any(|variable| variable.starts_with("TERM="));
        assert!(has_term(&args(&[]).environment(Vec::new(), true)));
        assert!(!has_term(&args(&[]).environment(Vec::new(), false)));
    }

    #[test]
    fn users_are_numbers() {
        assert_eq!(parse_user("5"), Ok(User { uid: 5, gid: 0 }));
        assert_eq!(parse_user("5:6"), Ok(User { uid: 5, gid: 6 }));
        for text in ["", "root", "5:", ":5", "-1", "4294967296", "1:2:3"] {
            assert!(parse_user(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bad_variables_and_directories() {
        assert!(parse_variable("=x").is_err());
        assert!(parse_variable("").is_err());
        assert!(parse_directory("tmp").is_err());
    }

    #[test]
    fn statuses_pass_through() {
        let exit = |status| Ending::Exited(crate::events::Exit { status, at: None });
        assert_eq!(conclude(exit(7), "web", INIT).unwrap(), 7);
        assert_eq!(conclude(exit(999), "web", INIT).unwrap(), 255);
        assert_eq!(conclude(Ending::Left { status: 130 }, "web", INIT).unwrap(), 130);
    }
}

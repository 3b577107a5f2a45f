//! gantry, the client: runs containers and looks after them through a daemon's `types.API`.
//!
//! It knows the protocol and the OCI bundle, and nothing of the daemon's insides. `cli` says what can be typed, `commands`
//! has one file per command, `attach` is what `run` and `exec` do with stdio, terminal and signals, `bundle` what is put on disk.
//! Executed under the name ctr it is another client: `ctr`.
//!
//! Start reading at [`commands::run`] and [`attach::Attached`].

mod attach;
mod bundle;
mod cli;
mod client;
mod commands;
mod ctr;
mod ended;
mod error;
mod events;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod id;
mod logs;
mod output;
mod quantity;
mod signal;
mod table;
mod when;

use std::process::ExitCode;

#[cfg(feature = "docs")]
use clap::CommandFactory;
use clap::Parser;

use crate::cli::Cli;
use crate::error::Error;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    if ctr::is_name(std::env::args_os().next().as_deref()) {
        return ctr::main(std::env::args_os().skip(1));
    }
    #[cfg(feature = "docs")]
    if gantry_docs::write_if_asked(gantry_docs::Section::User, Cli::command).is_ok_and(|written| written) {
        return ExitCode::SUCCESS;
    }
    let cli = Cli::parse();
    let failure = cli.command.failure_status();
    match run(cli) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            report(&error);
            ExitCode::from(error.exit_status(failure))
        }
    }
}

fn run(cli: Cli) -> Result<u8, Error> {
    // One thread is enough for one connection; the bytes of attached containers have threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::system("start", error))?;
    runtime.block_on(commands::execute(cli))
}

/// One line what failed and why, one what to do about it.
fn report(error: &Error) {
    if error.is_silent() {
        return;
    }
    output::note(&format!("gantry: {error}"));
    if let Some(hint) = error.hint() {
        output::note(&format!("  hint: {hint}"));
    }
}

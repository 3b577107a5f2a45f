//! `gantryd`, the daemon: flags, configuration, sockets, signals, telemetry, wiring.
//!
//! It reads its settings into plain data ([`args`], [`config`]), takes its state dir and its socket ([`listen`]), and
//! wires the supervisor to the wire protocols ([`serve`]). It must not know how anything below works inside.

mod args;
mod argv;
mod config;
mod duration;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod listen;
mod lock;
mod logging;
mod memory;
mod names;
mod reload;
mod serve;
mod signals;
mod sys;
mod telemetry;

use crate::args::{Command, ConfigCommand};
use crate::config::{LoadError, Loaded, Sources};
use crate::error::Error;
use crate::logging::Log;
use crate::names::Names;
use crate::reload::Reloader;
use std::io::Write;
use std::process::ExitCode;

/// What was asked for could not be done.
const FAILURE: u8 = 1;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    sys::one_pool();
    let names = Names::of_this_program();
    // What is printed for others does not depend on where it was built.
    #[cfg(feature = "docs")]
    let names = Names::of(names.program.as_ref(), None);
    #[cfg(feature = "docs")]
    match gantry_docs::write_if_asked(gantry_docs::Section::System, || args::command(&names)) {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {}
        Err(error) => {
            complain(&format!("cannot write the documentation: {error}"));
            return ExitCode::from(FAILURE);
        }
    }
    let sources = Sources::of_this_process(&names);
    let result = match sources.load(&names) {
        Ok(loaded) => match loaded.args.command.clone() {
            Some(Command::Config(command)) => config_command(&command, &loaded, &names),
            None => run(sources, loaded, &names),
        },
        Err(LoadError::Other(error)) => Err(error),
        // Help and version are "errors" with exit code 0 to clap; mistakes end with 2.
        Err(LoadError::Usage(error)) => error.exit(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{}: {error}", names.program));
            ExitCode::from(FAILURE)
        }
    }
}

/// Says something on standard error, if anybody listens there.
fn complain(text: &str) {
    // Nobody can be told that nobody listens.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints what was asked for.
fn print(text: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Error::Print)
}

fn config_command(command: &ConfigCommand, loaded: &Loaded, names: &Names) -> Result<(), Error> {
    match command {
        ConfigCommand::Default => print(&config::print_default(&args::command(names))),
        ConfigCommand::Check { file } => {
            let default = names.config.map(Into::into);
            let path = file.clone().or_else(|| loaded.args.config.clone()).or(default);
            let path = path.ok_or(Error::ConfigNone)?;
            let settings = config::check(names, &path)?;
            print(&format!("{}: ok, {settings} settings\n", path.display()))
        }
    }
}

fn run(sources: Sources, loaded: Loaded, names: &Names) -> Result<(), Error> {
    gantry_record::failpoint::arm("daemon");
    loaded.args.validate().map_err(Error::Together)?;
    let log = Log::init(loaded.args.level(), loaded.args.log_format);
    limits::raise_open_files();
    if let Some(score) = loaded.args.oom_score_adj {
        limits::set_oom_score(score);
    }
    // A few threads are enough: what takes long are other programs.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .thread_name("gantryd")
        .enable_all()
        .build()
        .map_err(Error::Threads)?;
    let served = runtime.block_on(serve::serve(Reloader::new(sources, loaded, log), names));
    // What still runs now are waits for containers, and those go on without us.
    runtime.shutdown_background();
    served
}

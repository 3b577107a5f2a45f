//! `gantryd`, the daemon: flags, sockets, signals, wiring.
//!
//! It parses its flags into plain data ([`args`]), takes its state dir and its socket ([`listen`]), and wires the
//! supervisor to the wire protocols ([`serve`]). It must not know how anything below works inside.

mod args;
mod duration;
mod error;
#[cfg(feature = "failpoints")]
mod failpoints;
mod limits;
mod listen;
mod lock;
mod logging;
mod names;
mod serve;

use crate::args::Args;
use crate::error::Error;
use crate::names::Names;
use clap::{CommandFactory, FromArgMatches};
use std::process::ExitCode;

fn main() -> ExitCode {
    let names = Names::of_this_program();
    let args = match parse(&names) {
        Ok(args) => args,
        // Help and version are "errors" with exit code 0 to clap.
        Err(error) => error.exit(),
    };
    if let Err(error) = logging::init(&args) {
        eprintln!("{}: {error}", names.program);
        return ExitCode::FAILURE;
    }
    match run(&args, &names) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", names.program);
            ExitCode::FAILURE
        }
    }
}

fn parse(names: &Names) -> Result<Args, clap::Error> {
    let with_default = |value: String| move |arg: clap::Arg| arg.required(false).default_value(value);
    let command = Args::command()
        .name(names.program)
        .bin_name(names.program)
        .version(names.version_text())
        .mut_arg("state_dir", with_default(names.state_dir.to_owned()))
        .mut_arg("listen", with_default(names.listen.to_owned()))
        .mut_arg("runtime", with_default(names.runtime.clone()))
        .mut_arg("shim", with_default(names.shim.clone()));
    Args::from_arg_matches(&command.try_get_matches()?)
}

fn run(args: &Args, names: &Names) -> Result<(), Error> {
    #[cfg(feature = "failpoints")]
    failpoints::arm()?;
    limits::raise_open_files();
    // A few threads are enough: what takes long are other programs.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .thread_name("gantryd")
        .enable_all()
        .build()
        .map_err(Error::Threads)?;
    let served = runtime.block_on(serve::serve(args, names));
    // What still runs now are waits for containers, and those go on without us.
    runtime.shutdown_background();
    served
}

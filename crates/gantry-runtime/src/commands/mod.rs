//! One module per command; here is which is which, and what all of them need first.

mod checkpoint;
mod create;
mod delete;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod pause;
mod ps;
mod restore;
mod run;
mod spec;
mod start;
mod state;
mod update;

use std::io::Write;

use crate::args::{Cli, Command};
use crate::error::{Error, Result};
use crate::exit_code::ExitCode;
use crate::store::Store;

/// Runs the command that was typed.
pub(crate) fn run(cli: &Cli) -> Result<ExitCode> {
    if cli.global.systemd_cgroup {
        return Err(Error::Unsupported(
            "--systemd-cgroup: gantry-runtime manages cgroups itself; leave the flag out".to_owned(),
        ));
    }
    let store = Store::new(&cli.global.root)?;
    match &cli.command {
        Command::Create(args) => create::run(&store, args),
        Command::Start(args) => start::run(&store, &args.id),
        Command::Run(args) => run::run(&store, args),
        Command::Exec(args) => exec::run(&store, args),
        Command::State(args) => state::run(&store, &args.id),
        Command::Kill(args) => kill::run(&store, args),
        Command::Delete(args) => delete::run(&store, args),
        Command::List(args) => list::run(&store, args),
        Command::Ps(args) => ps::run(&store, args),
        Command::Pause(args) => pause::pause(&store, &args.id),
        Command::Resume(args) => pause::resume(&store, &args.id),
        Command::Events(args) => events::run(&store, args),
        Command::Update(args) => update::run(&store, args),
        Command::Checkpoint(args) => checkpoint::run(&store, args),
        Command::Restore(args) => restore::run(&store, args),
        Command::Spec(args) => spec::run(args),
        Command::Features => features::run(),
    }
}

/// Prints an answer: whole lines on standard output, and nothing else ever goes there.
fn print(text: &str) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Error::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints an answer as JSON.
fn print_json(value: &impl serde::Serialize) -> Result<ExitCode> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::Output(e.into()))?;
    print(&text)
}

//! The commands, one file each: its arguments, its help, what it does.

pub(crate) mod checkpoint;
pub(crate) mod events;
pub(crate) mod exec;
mod format;
pub(crate) mod inspect;
pub(crate) mod kill;
mod limits;
pub(crate) mod logs;
pub(crate) mod pause;
mod process;
pub(crate) mod ps;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod shim;
pub(crate) mod stats;
pub(crate) mod top;
pub(crate) mod update;
pub(crate) mod version;

use crate::cli::{Cli, Command};
use crate::client::Settings;
use crate::error::Error;

/// Does what was asked; the exit status.
pub(crate) async fn execute(cli: Cli) -> Result<u8, Error> {
    let settings = Settings::new(cli.address, cli.bundles)?;
    match cli.command {
        Command::Run(args) => run::execute(&settings, *args).await,
        Command::Ps(args) => ps::execute(&settings, &args).await,
        Command::Exec(args) => exec::execute(&settings, *args).await,
        Command::Kill(args) => kill::execute(&settings, &args).await,
        Command::Rm(args) => rm::execute(&settings, &args).await,
        Command::Logs(args) => logs::execute(&settings, &args).await,
        Command::Events(args) => events::execute(&settings, &args).await,
        Command::Inspect(args) => inspect::execute(&settings, &args).await,
        Command::Pause(args) => pause::execute(&settings, &args, true).await,
        Command::Resume(args) => pause::execute(&settings, &args, false).await,
        Command::Update(args) => update::execute(&settings, &args).await,
        Command::Checkpoint(args) => checkpoint::execute(&settings, &args).await,
        Command::Top(args) => top::execute(&settings, &args).await,
        Command::Shim(args) => shim::execute(&settings, &args).await,
        Command::Stats(args) => stats::execute(&settings, &args).await,
        Command::Version(args) => version::execute(&settings, &args).await,
    }
}

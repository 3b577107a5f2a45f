//! `gantry shim upgrade`: the shims of running containers become the one that is installed now.

use gantry_api::gantry::UpgradedShim;

use crate::client::{Client, Settings};
use crate::error::Error;
use crate::{output, table};

const HELP: &str = "\
A shim stands beside each process of a container and keeps running when newer programs are installed. This replaces it \
by the installed one while the process runs; neither its output nor its exit status is lost.

Examples:
  gantry shim upgrade        those of all containers
  gantry shim upgrade web    those of one, and of all that was executed in it";

/// Characters of a cell before it is cut.
const ERROR_WIDTH: usize = 120;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Replace them by the version that is installed now
    #[command(after_help = HELP)]
    Upgrade {
        /// The containers; all of them by default
        #[arg(value_name = "ID")]
        containers: Vec<String>,
    },
}

/// The exit status when a shim stays as it was.
const SOME_STAY: u8 = 1;

pub(crate) async fn execute(settings: &Settings, args: &Args) -> Result<u8, Error> {
    let Command::Upgrade { containers } = &args.command;
    let client = Client::connect(settings).await?;
    let containers = if containers.is_empty() {
        client.containers().await?.into_iter().map(|container| container.id).collect()
    } else {
        containers.clone()
    };
    let mut rows = Vec::new();
    let mut all = true;
    for id in &containers {
        for shim in client.upgrade_shims(id).await? {
            all &= shim.error.is_empty();
            rows.push(row(id, shim));
        }
    }
    output::text(&table::render(["ID", "PROCESS", "SHIM", "RESULT"], &rows))?;
    Ok(if all { 0 } else { SOME_STAY })
}

fn row(id: &str, shim: UpgradedShim) -> [String; 4] {
    let UpgradedShim { process, before, now, error } = shim;
    if error.is_empty() {
        return [id.to_owned(), process, now.to_string(), format!("replaces {before}")];
    }
    [id.to_owned(), process, "-".to_owned(), table::cell(&error, ERROR_WIDTH)]
}

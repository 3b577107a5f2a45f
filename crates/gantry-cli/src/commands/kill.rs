//! `gantry kill`: a signal for a container or a process in it.

use crate::client::{Client, Settings};
use crate::error::Error;
use crate::id::INIT;
use crate::signal::Signal;

const HELP: &str = "\
The first process of a container only gets the signals that it handles, and KILL and STOP, which nobody can \
refuse.

Examples:
  gantry kill web                ask it to end (TERM)
  gantry kill -s KILL web        end it
  gantry kill -s HUP web         by name, SIGHUP or 1 mean the same
  gantry kill web 3f2a91c04b7d   a process that `gantry exec` started; `gantry ps` shows their ids";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// By name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "TERM")]
    signal: Signal,

    /// The container
    #[arg(value_name = "ID")]
    container: String,

    /// The process
    #[arg(value_name = "PROCESS", default_value = INIT)]
    process: String,
}

pub(crate) async fn execute(settings: &Settings, args: &Args) -> Result<u8, Error> {
    let client = Client::connect(settings).await?;
    client.signal(&args.container, &args.process, args.signal).await?;
    Ok(0)
}

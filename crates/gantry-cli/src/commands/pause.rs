//! `gantry pause` and `gantry resume`.

use crate::client::{Client, Settings};
use crate::error::Error;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    #[arg(value_name = "ID")]
    container: String,
}

pub(crate) async fn execute(settings: &Settings, args: &Args, paused: bool) -> Result<u8, Error> {
    let client = Client::connect(settings).await?;
    client.set_paused(&args.container, paused).await?;
    Ok(0)
}

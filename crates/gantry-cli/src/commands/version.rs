//! `gantry version`: who talks to whom.

use std::time::Duration;

use gantry_api::types::GetServerVersionRequest;

use crate::client::{Client, Settings, timed};
use crate::error::Error;
use crate::output;

const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn execute(settings: &Settings, _args: &Args) -> Result<u8, Error> {
    // The client's own version is shown even if there is no daemon.
    output::line(&format!("client  gantry {}", env!("CARGO_PKG_VERSION")))?;
    let client = Client::connect(settings).await?;
    let answer = client
        .api()
        .get_server_version(timed(GetServerVersionRequest {}, TIMEOUT))
        .await
        .map_err(|status| Error::refused("read the daemon's version", status))?
        .into_inner();
    let revision =
        if answer.revision.is_empty() { String::new() } else { format!(", revision {}", answer.revision) };
    let version = format!("{}.{}.{}", answer.major, answer.minor, answer.patch);
    output::line(&format!("daemon  types.API {version}{revision}, at {}", client.address()))?;
    Ok(0)
}

//! `gantry stats`: the container's cgroup in numbers.

use std::time::Duration;

use gantry_api::types::StatsRequest;

use crate::client::{Client, Settings, timed};
use crate::error::Error;
use crate::output;

const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
#[command(after_help = "Times are in nanoseconds, sizes in bytes. For instance:\n  \
                        gantry stats web | jq .cgroup_stats.memory_stats.usage.usage")]
pub(crate) struct Args {
    /// The container
    #[arg(value_name = "ID")]
    container: String,
}

pub(crate) async fn execute(settings: &Settings, args: &Args) -> Result<u8, Error> {
    let client = Client::connect(settings).await?;
    let request = timed(StatsRequest { id: args.container.clone() }, TIMEOUT);
    let answer = client
        .api()
        .stats(request)
        .await
        .map_err(|status| Error::refused(format!("read what {} uses", args.container), status))?;
    output::json(&answer.into_inner())?;
    Ok(0)
}

//! `gantry inspect`: the daemon's state, the client's notes and the last exit of one container.

use gantry_api::types::Container;
use serde::Serialize;

use crate::bundle::ContainerDir;
use crate::bundle::meta::{Exit, Meta};
use crate::client::{Client, Settings};
use crate::error::Error;
use crate::events::{exits, stored};
use crate::{output, when};

#[derive(Debug, clap::Args)]
#[command(after_help = "For instance:\n  gantry inspect web | jq .container.processes\n  \
                        gantry inspect web | jq .lastExit.status")]
pub(crate) struct Args {
    /// The container
    #[arg(value_name = "ID")]
    container: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Inspected {
    /// What the daemon says; null once the container has ended.
    container: Option<Container>,
    /// What this client noted when it started the container; null if somebody else did.
    client: Option<Meta>,
    /// The last exit of its first process, if it is known.
    last_exit: Option<Exit>,
}

pub(crate) async fn execute(settings: &Settings, args: &Args) -> Result<u8, Error> {
    let id = args.container.as_str();
    let client = Client::connect(settings).await?;
    let container = client.container(id).await?;
    let meta = ContainerDir::open(&settings.bundles, id).and_then(|dir| dir.meta());
    let events = stored(&client, id, when::EPOCH).await?;
    let exit = exits(&events)
        .get(id)
        .map(|exit| Exit { status: exit.status, at: exit.at.map(when::rfc3339).unwrap_or_default() });
    let last_exit = exit.or_else(|| meta.as_ref()?.exit.clone());
    if container.is_none() && meta.is_none() && last_exit.is_none() {
        return Err(Error::no_such_container(id));
    }
    output::json(&Inspected { container, client: meta, last_exit })?;
    Ok(0)
}

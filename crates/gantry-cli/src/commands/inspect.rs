//! `gantry inspect`: the daemon's state, the client's notes and the end of one container.

use gantry_api::types::Container;
use serde::Serialize;

use crate::bundle::ContainerDir;
use crate::bundle::meta::Meta;
use crate::client::{Client, Recorded, Settings};
use crate::ended::Ended;
use crate::error::Error;
use crate::events::{exits, stored};
use crate::{output, when};

const HELP: &str = "\
`container` is there while it runs, `client` if this client started it, `ended` once it has ended: status, signal, \
whether the kernel killed in it for want of memory, start, end, processor time and peak memory. The daemon keeps \
the end, also over its own restarts, until `gantry rm` or a new container of that id.

Examples:
  gantry inspect web | jq .container.processes
  gantry inspect web | jq .ended.status
  gantry inspect web | jq .ended.oomKilled";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The container
    #[arg(value_name = "ID")]
    container: String,
}

#[derive(Debug, Serialize)]
struct Inspected {
    /// What the daemon says; null once the container has ended.
    container: Option<Container>,
    /// What this client noted when it started the container; null if somebody else did.
    client: Option<Meta>,
    /// How it ended; null while it runs.
    ended: Option<Ended>,
}

pub(crate) async fn execute(settings: &Settings, args: &Args) -> Result<u8, Error> {
    let id = args.container.as_str();
    let client = Client::connect(settings).await?;
    let container = client.container(id).await?;
    let meta = ContainerDir::open(&settings.bundles, id).and_then(|dir| dir.meta());
    let ended = if container.is_some() { None } else { ended(&client, id, meta.as_ref()).await? };
    if container.is_none() && meta.is_none() && ended.is_none() {
        return Err(Error::no_such_container(id));
    }
    output::json(&Inspected { container, client: meta, ended })?;
    Ok(0)
}

async fn ended(client: &Client, id: &str, meta: Option<&Meta>) -> Result<Option<Ended>, Error> {
    let recorded = client.ended(id).await?;
    let event = match (&recorded, meta) {
        (Recorded::Ended(_), _) => None,
        // A daemon that keeps records has been told to forget this one.
        (Recorded::Nothing, None) => return Ok(None),
        _ => {
            let events = stored(client, id, when::EPOCH).await?;
            exits(&events).get(id).copied()
        }
    };
    let record = match recorded {
        Recorded::Ended(ended) => Some(*ended),
        Recorded::Nothing | Recorded::Unsupported => None,
    };
    Ok(Ended::best(record, meta, event))
}

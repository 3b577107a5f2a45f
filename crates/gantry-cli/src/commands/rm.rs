//! `gantry rm`: end a container if asked to, and remove what this client and the daemon keep of it.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::bundle::ContainerDir;
use crate::client::{Client, Recorded, Settings};
use crate::error::Error;
use crate::events::{EXIT, Follower, Notice};
use crate::id::INIT;
use crate::signal::Signal;
use crate::{output, when};

const HELP: &str = "\
Goes with it: how it ended, its logs, and the checkpoints of a container without a --bundle. A root filesystem of \
--rootfs and a bundle of --bundle are yours and stay.

Examples:
  gantry rm web                     an ended container
  gantry rm -f web db               end them first (KILL)
  gantry rm -f $(gantry ps -aq)     everything";

/// A killed container that has not ended by then may be paused, and is resumed.
const RESUME_AFTER: Duration = Duration::from_secs(1);

/// A container that has not ended by then is reported.
const GIVE_UP_AFTER: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// End a running container first
    #[arg(short, long)]
    force: bool,

    /// The containers
    #[arg(value_name = "ID", required = true)]
    containers: Vec<String>,
}

pub(crate) async fn execute(settings: &Settings, args: &Args) -> Result<u8, Error> {
    let client = Client::connect(settings).await?;
    let mut last_error = None;
    for id in &args.containers {
        match remove(&client, settings, id, args.force).await {
            Ok(()) => output::line(id)?,
            // One that cannot be removed does not save the others.
            Err(error) => {
                if let Some(earlier) = last_error.replace(error) {
                    crate::report(&earlier);
                }
            }
        }
    }
    last_error.map_or(Ok(0), Err)
}

async fn remove(client: &Client, settings: &Settings, id: &str, force: bool) -> Result<(), Error> {
    let container = client.container(id).await?;
    let dir = ContainerDir::open(&settings.bundles, id);
    if container.is_some() {
        if !force {
            return Err(Error::impossible(
                format!("cannot remove {id}: it is running"),
                format!("end it first with `gantry kill {id}`, or use `gantry rm -f {id}`"),
            ));
        }
        end(client, id).await?;
    } else if dir.is_none() && !matches!(client.ended(id).await?, Recorded::Ended(_)) {
        return Err(Error::no_such_container(id));
    }
    client.forget(id).await?;
    dir.map_or(Ok(()), |dir| dir.remove())
}

/// Kills a container, and waits until the daemon has cleaned up after it.
pub(super) async fn end(client: &Client, id: &str) -> Result<(), Error> {
    let mut follower = Follower::start(client, id, when::now());
    if let Err(error) = client.signal(id, INIT, Signal::KILL).await
        && client.container(id).await?.is_some()
    {
        return Err(error);
    }
    let start = Instant::now();
    if exited(client, &mut follower, id, start + RESUME_AFTER).await? {
        return Ok(());
    }
    // A frozen process does not die. One that is not frozen cannot be resumed, which is no error here.
    let _ = client.set_paused(id, false).await;
    if exited(client, &mut follower, id, start + GIVE_UP_AFTER).await? {
        return Ok(());
    }
    Err(Error::impossible(
        format!("cannot remove {id}: it was killed and has not ended within {} s", GIVE_UP_AFTER.as_secs()),
        "a process may hang in the kernel; `gantry inspect` shows the pids",
    ))
}

/// Waits for the exit event; at the deadline the daemon is asked, in case that the event was before our time.
async fn exited(
    client: &Client,
    follower: &mut Follower,
    id: &str,
    deadline: Instant,
) -> Result<bool, Error> {
    while let Ok(notice) = timeout_at(deadline, follower.next()).await {
        if matches!(notice, Notice::Event(event) if event.r#type == EXIT && event.pid == INIT) {
            return Ok(true);
        }
    }
    Ok(client.container(id).await?.is_none())
}

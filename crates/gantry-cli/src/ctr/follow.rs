//! Waiting for the end of a process, as an attached ctr does.

use std::time::Duration;

use gantry_api::types::api_client::ApiClient;
use gantry_api::types::{Event, EventsRequest};
use prost_types::Timestamp;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::error::is_connection_closed;
use crate::attach::Target;
use crate::events::{EXIT, START_CONTAINER, START_PROCESS};
use crate::id::INIT;
use crate::when;

/// How long to wait before the events are asked for again, after the daemon has ended their stream.
const PAUSE: Duration = Duration::from_secs(1);

/// How the waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Exited {
        status: u32,
    },
    /// The daemon is gone.
    ConnectionClosed,
}

/// The end of one process, to be awaited while other things happen.
#[derive(Debug)]
pub(crate) struct Follower(mpsc::Receiver<Ending>);

// === impl Follower ===

impl Follower {
    /// Subscribes in the background. Whenever the daemon gets to it, what has happened since this call is replayed.
    pub(crate) fn start(api: ApiClient<Channel>, target: Target) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        let since = when::now();
        tokio::spawn(async move {
            let ending = follow(api, &target, since).await;
            // Nobody waits when the start has failed.
            let _ = sender.send(ending).await;
        });
        Self(receiver)
    }

    pub(crate) async fn ending(&mut self) -> Ending {
        // The task ends with a message.
        self.0.recv().await.unwrap_or(Ending::ConnectionClosed)
    }
}

async fn follow(mut api: ApiClient<Channel>, target: &Target, mut since: Timestamp) -> Ending {
    let mut started = false;
    loop {
        let request =
            EventsRequest { timestamp: Some(since), stored_only: false, id: target.container.clone() };
        let failed = match api.events(request).await {
            Ok(answer) => match read(answer.into_inner(), target, &mut since, &mut started).await {
                Ok(status) => return Ending::Exited { status },
                Err(failed) => failed,
            },
            Err(status) => Some(status),
        };
        if failed.is_some_and(|status| is_connection_closed(&status)) {
            return Ending::ConnectionClosed;
        }
        sleep(PAUSE).await;
    }
}

/// Reads until the process has ended; without a status when the stream ended before.
async fn read(
    mut stream: Streaming<Event>,
    target: &Target,
    since: &mut Timestamp,
    started: &mut bool,
) -> Result<u32, Option<Status>> {
    while let Some(event) = stream.message().await? {
        *since = event.timestamp.unwrap_or(*since);
        // The replay may begin with an earlier container of that name, if the daemon's clock is behind ours.
        *started |= is_start(&event, target);
        if *started && event.r#type == EXIT && event.id == target.container && event.pid == target.process {
            return Ok(event.status);
        }
    }
    Err(None)
}

fn is_start(event: &Event, target: &Target) -> bool {
    event.id == target.container
        && match event.r#type.as_str() {
            START_CONTAINER => target.process == INIT,
            START_PROCESS => event.pid == target.process,
            _ => false,
        }
}

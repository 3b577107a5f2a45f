//! Events: those of the past, and those to come, whatever happens to the daemon meanwhile.

use std::collections::HashMap;
use std::time::Duration;

use gantry_api::types::api_client::ApiClient;
use gantry_api::types::{Event, EventsRequest, GetServerVersionRequest};
use prost_types::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;

use crate::client::{Client, timed};
use crate::error::Error;
use crate::id::INIT;
use crate::when;

/// Types of events that the client looks at.
pub(crate) const EXIT: &str = "exit";
pub(crate) const START_CONTAINER: &str = "start-container";
pub(crate) const START_PROCESS: &str = "start-process";

/// Pauses between attempts to reach the daemon again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a daemon may take to say that it is back; while it restores containers, it takes calls and lets them wait.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many notices may wait for the reader; the stream waits when there are more.
const QUEUE: usize = 64;

/// What a follower is told.
#[derive(Debug)]
pub(crate) enum Notice {
    Event(Event),
    /// The stream broke; it is being opened again.
    Lost,
    /// The daemon is back, and the stream resumes after the last event seen.
    Resumed,
}

/// The events of one container after a moment, each once, across restarts of the daemon.
#[derive(Debug)]
pub(crate) struct Follower {
    notices: mpsc::Receiver<Notice>,
    task: JoinHandle<()>,
}

/// How a container's first process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) status: u32,
    pub(crate) at: Option<time::OffsetDateTime>,
}

// === impl Follower ===

impl Follower {
    /// Opens the stream in the background. Nothing after `since` is missed, even if the stream opens late: the daemon
    /// replays what it stored.
    pub(crate) fn start(client: &Client, id: &str, since: Timestamp) -> Self {
        let (sender, notices) = mpsc::channel(QUEUE);
        let task = tokio::spawn(follow(client.api(), id.to_owned(), since, sender));
        Self { notices, task }
    }

    pub(crate) async fn next(&mut self) -> Notice {
        match self.notices.recv().await {
            Some(notice) => notice,
            // The task ends only when nobody listens any more.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    mut api: ApiClient<Channel>,
    id: String,
    mut since: Timestamp,
    notices: mpsc::Sender<Notice>,
) {
    let mut pause = FIRST_PAUSE;
    let mut lost = false;
    loop {
        // A stream may answer with its first event only, so whether the daemon is back must be asked otherwise.
        if lost && is_back(&mut api).await {
            if notices.send(Notice::Resumed).await.is_err() {
                return;
            }
            lost = false;
        }
        let opened = Instant::now();
        let request = EventsRequest { timestamp: Some(since), stored_only: false, id: id.clone() };
        if let Ok(answer) = api.events(request).await {
            let mut stream = answer.into_inner();
            while let Ok(Some(event)) = stream.message().await {
                since = event.timestamp.unwrap_or(since);
                if notices.send(Notice::Event(event)).await.is_err() {
                    return;
                }
            }
        }
        if opened.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        if !lost && notices.send(Notice::Lost).await.is_err() {
            return;
        }
        lost = true;
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

async fn is_back(api: &mut ApiClient<Channel>) -> bool {
    api.get_server_version(timed(GetServerVersionRequest {}, PROBE_TIMEOUT)).await.is_ok()
}

// === the past ===

/// Stored events after a moment, of one container or (with an empty id) of all.
pub(crate) async fn stored(client: &Client, id: &str, since: Timestamp) -> Result<Vec<Event>, Error> {
    let request = EventsRequest { timestamp: Some(since), stored_only: true, id: id.to_owned() };
    let failed = |status| Error::refused("read the stored events", status);
    let mut stream = client.api().events(request).await.map_err(failed)?.into_inner();
    let mut events = Vec::new();
    while let Some(event) = stream.message().await.map_err(failed)? {
        events.push(event);
    }
    Ok(events)
}

/// How the containers among these events ended last, by id. A container that was started again has not ended.
pub(crate) fn exits(events: &[Event]) -> HashMap<&str, Exit> {
    let mut exits = HashMap::new();
    for event in events {
        if event.r#type == START_CONTAINER {
            exits.remove(event.id.as_str());
        } else if event.r#type == EXIT && event.pid == INIT {
            let at = event.timestamp.and_then(when::from_wire);
            exits.insert(event.id.as_str(), Exit { status: event.status, at });
        }
    }
    exits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, id: &str, pid: &str, status: u32) -> Event {
        Event { r#type: kind.into(), id: id.into(), pid: pid.into(), status, timestamp: None }
    }

    #[test]
    fn the_last_exit_of_init_counts() {
        let events = [
            event(START_CONTAINER, "a", "", 0),
            event(EXIT, "a", "some-exec", 9),
            event(EXIT, "a", INIT, 1),
            event(START_CONTAINER, "a", "", 0),
            event(EXIT, "a", INIT, 2),
            event(EXIT, "b", INIT, 3),
            event(START_CONTAINER, "b", "", 0),
        ];
        let exits = exits(&events);
        assert_eq!(exits.get("a"), Some(&Exit { status: 2, at: None }));
        assert_eq!(exits.get("b"), None);
    }
}

//! A subscriber that resumes after the last event that it has seen, as clients of 0.2 do.

use crate::support::SOON;
use gantry_api::client;
use gantry_api::types::api_client::ApiClient;
use gantry_api::types::{Event, EventsRequest};
use gantry_testkit::{Daemon, wait_until};
use prost_types::Timestamp;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;

/// How soon it tries again.
const AGAIN: Duration = Duration::from_millis(5);

pub(super) struct Reader {
    // Ends it when it is dropped.
    _runtime: Runtime,
    seen: Arc<Mutex<Vec<Event>>>,
}

impl Reader {
    pub(super) fn start(daemon: &Daemon) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        runtime.spawn(read(daemon.address(), Arc::clone(&seen)));
        Self { _runtime: runtime, seen }
    }

    /// Insists that it has seen these events, or sees them soon, and no others.
    pub(super) fn has_read(&self, events: &[Event]) {
        wait_until("the reader's last event", SOON, || self.seen.lock().unwrap().len() >= events.len());
        assert!(
            *self.seen.lock().unwrap() == events,
            "the reader has seen something else than the log holds"
        );
    }
}

async fn read(address: String, seen: Arc<Mutex<Vec<Event>>>) {
    let channel = client::connect(&address).await.unwrap();
    let mut api = ApiClient::new(channel);
    loop {
        let since: Option<Timestamp> = seen.lock().unwrap().last().and_then(|event| event.timestamp);
        let request = EventsRequest { timestamp: Some(since.unwrap_or_default()), ..Default::default() };
        if let Ok(stream) = api.events(request).await {
            let mut stream = stream.into_inner();
            while let Ok(Some(event)) = stream.message().await {
                seen.lock().unwrap().push(event);
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

//! A subscriber that follows all events, and resumes after the last one when the daemon was gone.

use super::ledger::Ledger;
use super::world::World;
use gantry_api::client;
use gantry_api::types::api_client::ApiClient;
use gantry_api::types::{Event, EventsRequest};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tonic::Status;

/// How soon it tries again.
const AGAIN: Duration = Duration::from_millis(20);
/// How long the replay of everything may take.
const REPLAY_LIMIT: Duration = Duration::from_secs(120);

/// Reads for ever.
pub(super) async fn follow(world: Arc<World>, ledger: Arc<Ledger>) {
    loop {
        if read(&world.address, &ledger).await.is_err() {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

async fn read(address: &str, ledger: &Ledger) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut api = ApiClient::new(client::connect(address).await?);
    let timestamp = Some(ledger.last_timestamp().unwrap_or_default());
    let mut stream = api.events(EventsRequest { timestamp, ..Default::default() }).await?.into_inner();
    while let Some(event) = stream.message().await? {
        ledger.event(event);
    }
    Ok(())
}

/// Everything that the log holds.
pub(super) async fn replay(address: &str) -> Result<Vec<Event>, String> {
    let all = async {
        let channel = client::connect(address).await.map_err(|error| error.to_string())?;
        let request =
            EventsRequest { timestamp: Some(Default::default()), stored_only: true, ..Default::default() };
        let read = async {
            let mut stream = ApiClient::new(channel).events(request).await?.into_inner();
            let mut events = Vec::new();
            while let Some(event) = stream.message().await? {
                events.push(event);
            }
            Ok(events)
        };
        read.await.map_err(|status: Status| status.to_string())
    };
    timeout(REPLAY_LIMIT, all).await.unwrap_or_else(|_| Err(format!("no end within {REPLAY_LIMIT:?}")))
}

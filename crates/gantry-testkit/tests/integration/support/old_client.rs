//! What clients of 0.2 ask for besides: the history of one container.

use super::api::Api;
use gantry_api::types::{Event, EventsRequest};
use prost_types::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

impl Api {
    /// What has happened to one container after `since`, to the end of the stream.
    pub(crate) fn stored_events_of(&self, container: &str, since: Timestamp) -> Vec<Event> {
        let id = container.to_owned();
        self.subscribe(EventsRequest { timestamp: Some(since), stored_only: true, id }).rest()
    }
}

/// Now, as events are stamped.
pub(crate) fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp {
        seconds: i64::try_from(now.as_secs()).unwrap(),
        nanos: i32::try_from(now.subsec_nanos()).unwrap(),
    }
}

//! `ctr events` and `ctr containers watch`: what happens, for ever.

use std::time::Duration;

use gantry_api::types::api_client::ApiClient;
use gantry_api::types::{Event, EventsRequest, StateRequest};
use prost_types::Timestamp;
use tokio::time::timeout;
use tonic::Streaming;
use tonic::transport::Channel;

use super::calls::Daemon;
use super::command::TIMESTAMP;
use super::error::Error;
use super::go::{self, BadValue};
use super::line::Run;
use super::print;
use super::table::EVENTS;
use crate::when;

/// Go's zero time, 0001-01-01T00:00:00Z: no replay.
const NO_TIME: Timestamp = Timestamp { seconds: -62_135_596_800, nanos: 0 };

/// Gantry's daemon answers as soon as it has subscribed us, 0.2's only with the first event.
const SILENT_DAEMON: Duration = Duration::from_millis(300);

/// `ctr events`.
pub(crate) async fn table(daemon: &Daemon, run: &Run) -> Result<(), Error> {
    let timestamp = match run.flags.text(&TIMESTAMP) {
        text if text.is_empty() => NO_TIME,
        text => when::from_rfc3339(&text).map(when::to_wire).ok_or(BadValue::Time(text))?,
    };
    let mut api = daemon.connect().await?;
    let mut stream = Box::pin(subscribe(&mut api, Some(timestamp)));
    let header = || print(&EVENTS.render(&[["TIME", "TYPE", "ID", "PID", "STATUS"].map(str::to_owned)]));
    let mut stream = if let Ok(stream) = timeout(SILENT_DAEMON, &mut stream).await {
        header()?;
        stream?
    } else {
        header()?;
        stream.await?
    };
    while let Some(event) = stream.message().await? {
        print(&EVENTS.render(&[row(event)]))?;
    }
    Err(Error::EndOfEvents)
}

/// `ctr containers watch`.
pub(crate) async fn watch(daemon: &Daemon, run: &Run) -> Result<(), Error> {
    let mut api = daemon.connect().await?;
    let id = run.arg(0);
    if !id.is_empty() {
        // Somebody who watches a container that is not there wants to know.
        api.state(StateRequest { id: id.clone() }).await?;
    }
    let mut stream = subscribe(&mut api, None).await?;
    while let Some(event) = stream.message().await? {
        if id.is_empty() || event.id == id {
            print(&format!("{}\n", literal(&event)))?;
        }
    }
    Err(Error::EndOfEvents)
}

async fn subscribe(
    api: &mut ApiClient<Channel>,
    since: Option<Timestamp>,
) -> Result<Streaming<Event>, Error> {
    let request = EventsRequest { timestamp: since, stored_only: false, id: String::new() };
    Ok(api.events(request).await?.into_inner())
}

fn row(event: Event) -> [String; 5] {
    let time = event.timestamp.and_then(when::from_wire).map(when::rfc3339);
    let time = time.unwrap_or_else(|| "0001-01-01T00:00:00Z".to_owned());
    [time, event.r#type, event.id, event.pid, event.status.to_string()]
}

/// The event as a Go program would write it down.
fn literal(event: &Event) -> String {
    let Timestamp { seconds, nanos } = event.timestamp.unwrap_or_default();
    format!(
        "&types.Event{{Type:{}, Id:{}, Status:{:#x}, Pid:{}, Timestamp:&timestamp.Timestamp{{Seconds:{seconds}, Nanos:{nanos}}}}}",
        go::quote(&event.r#type),
        go::quote(&event.id),
        event.status,
        go::quote(&event.pid),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let timestamp = Some(Timestamp { seconds: 1_500_000_000, nanos: 120_000_000 });
        Event { r#type: "exit".into(), id: "web".into(), status: 137, pid: "init".into(), timestamp }
    }

    #[test]
    fn rows_and_literals() {
        assert_eq!(row(event()), ["2017-07-14T02:40:00.12Z", "exit", "web", "init", "137"]);
        let expected = "&types.Event{Type:\"exit\", Id:\"web\", Status:0x89, Pid:\"init\", \
                        Timestamp:&timestamp.Timestamp{Seconds:1500000000, Nanos:120000000}}";
        assert_eq!(literal(&event()), expected);
        let nameless = Event { timestamp: None, ..event() };
        assert_eq!(row(nameless)[0], "0001-01-01T00:00:00Z");
    }
}

//! `gantry events`: what happens to containers.

use clap::ValueEnum;
use gantry_api::types::{Event, EventsRequest};
use prost_types::Timestamp;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::client::{Client, Settings};
use crate::error::Error;
use crate::events::{EXIT, stored};
use crate::{output, when};

const HELP: &str = "\
Types: start-container, start-process, exit, pause, resume, oom.

Examples:
  gantry events                          from now on, until Ctrl-C
  gantry events --since 10m --id web     the last ten minutes of one container, and on
  gantry events --stored                 everything that the daemon still has
  gantry events --stored --format json | jq 'select(.type == \"exit\")'";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Start with what happened after a moment (2024-05-01T12:00:00Z), or within a span (10m, 1h30m, 7d)
    #[arg(long, value_name = "WHEN", value_parser = parse_since)]
    since: Option<OffsetDateTime>,

    /// Only one container
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    id: String,

    /// Only what has happened so far
    #[arg(long)]
    stored: bool,

    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Columns, one event a line
    Table,
    /// A JSON object a line
    Json,
}

fn parse_since(text: &str) -> Result<OffsetDateTime, when::BadMoment> {
    when::since(text, OffsetDateTime::now_utc())
}

pub(crate) async fn execute(settings: &Settings, args: &Args) -> Result<u8, Error> {
    let client = Client::connect(settings).await?;
    let since = args.since.map(when::to_wire);
    if args.format == Format::Table {
        output::line(&row("TIME", "TYPE", "ID", "PROCESS", "STATUS"))?;
    }
    if args.stored {
        for event in stored(&client, &args.id, since.unwrap_or(when::EPOCH)).await? {
            show(&event, args.format)?;
        }
        return Ok(0);
    }
    watch(&client, args, since).await?;
    Ok(0)
}

async fn watch(client: &Client, args: &Args, since: Option<Timestamp>) -> Result<(), Error> {
    let request = EventsRequest { timestamp: since, stored_only: false, id: args.id.clone() };
    let failed = |status| Error::refused("watch the events", status);
    let mut stream = client.api().events(request).await.map_err(failed)?.into_inner();
    while let Some(event) = stream.message().await.map_err(failed)? {
        show(&event, args.format)?;
    }
    Err(Error::impossible(
        format!("the daemon at {} has stopped", client.address()),
        "`gantry events --since` shows what is missed meanwhile",
    ))
}

fn show(event: &Event, format: Format) -> Result<(), Error> {
    match format {
        Format::Json => output::json_line(&json(event)),
        Format::Table => {
            let status = if event.r#type == EXIT { event.status.to_string() } else { String::new() };
            output::line(&row(&time(event), &event.r#type, &event.id, &event.pid, &status))
        }
    }
}

/// Fixed columns, because nobody knows what is still to come.
fn row(time: &str, kind: &str, id: &str, process: &str, status: &str) -> String {
    format!("{time:<30}  {kind:<15}  {id:<20}  {process:<12}  {status}").trim_end().to_owned()
}

fn time(event: &Event) -> String {
    event.timestamp.and_then(when::from_wire).map(when::rfc3339).unwrap_or_default()
}

/// The names of the daemon's event log.
fn json(event: &Event) -> Value {
    let mut object = Map::new();
    object.insert("id".to_owned(), event.id.clone().into());
    object.insert("type".to_owned(), event.r#type.clone().into());
    object.insert("timestamp".to_owned(), time(event).into());
    if !event.pid.is_empty() {
        object.insert("pid".to_owned(), event.pid.clone().into());
    }
    if event.r#type == EXIT {
        object.insert("status".to_owned(), event.status.into());
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_has_the_names_of_the_log() {
        let timestamp = Some(Timestamp { seconds: 0, nanos: 5 });
        let event = Event { r#type: EXIT.into(), id: "web".into(), status: 0, pid: "init".into(), timestamp };
        let expected = json!({"id": "web", "type": "exit", "timestamp": "1970-01-01T00:00:00.000000005Z", "pid": "init", "status": 0});
        assert_eq!(json(&event), expected);
    }

    #[test]
    fn rows_have_no_trailing_blanks() {
        assert_eq!(row("t", "k", "i", "", "").split_whitespace().count(), 3);
        assert!(!row("t", "k", "i", "", "").ends_with(' '));
    }
}

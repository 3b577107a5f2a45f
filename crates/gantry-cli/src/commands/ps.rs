//! `gantry ps`: what runs, and what ran.

use std::collections::{BTreeMap, HashMap};

use gantry_api::types::Container;
use serde::Serialize;
use time::OffsetDateTime;

use super::format::Format;
use crate::bundle::ContainerDir;
use crate::bundle::meta::Meta;
use crate::client::{Client, Settings, init_of};
use crate::ended::Ended;
use crate::error::Error;
use crate::events::{Exit, exits, stored};
use crate::id::INIT;
use crate::{output, table, when};

const HELP: &str = "\
PIDS counts the processes of the container as the host sees them; PROCESSES are what the daemon started in it: \
`init`, and one for each `gantry exec`. Ended containers are kept until `gantry rm`; of those that somebody else \
started, the daemon keeps the newest.

Examples:
  gantry ps                                what runs
  gantry ps -a                             and what has ended, with its exit status
  gantry rm -f $(gantry ps -aq)            end and remove everything
  gantry ps --format json | jq '.[].id'";

/// Characters of a cell before it is cut.
const COMMAND_WIDTH: usize = 48;
const PROCESSES_WIDTH: usize = 32;

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Ended containers, too
    #[arg(short, long)]
    all: bool,

    /// Only ids
    #[arg(short, long, conflicts_with = "format")]
    quiet: bool,

    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// A line of the list.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    /// `running`, `paused`, `stopped`, `exited`, or `unknown`.
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_status: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oom_killed: Option<bool>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    exited: Option<String>,
    pids: Vec<u32>,
    processes: Vec<String>,
    /// RFC 3339; of a running one only known if this client started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    command: Vec<String>,
    bundle: String,
}

pub(crate) async fn execute(settings: &Settings, args: &Args) -> Result<u8, Error> {
    let client = Client::connect(settings).await?;
    let rows = rows(&client, settings, args.all).await?;
    if args.quiet {
        let ids: String = rows.iter().map(|row| format!("{}\n", row.id)).collect();
        output::text(&ids)?;
    } else if args.format == Format::Json {
        output::json(&rows)?;
    } else {
        let now = OffsetDateTime::now_utc();
        let cells: Vec<[String; 6]> = rows.iter().map(|row| row.cells(now)).collect();
        output::text(&table::render(["ID", "STATUS", "PIDS", "PROCESSES", "CREATED", "COMMAND"], &cells))?;
    }
    Ok(0)
}

async fn rows(client: &Client, settings: &Settings, all: bool) -> Result<Vec<Row>, Error> {
    // The client's directories are listed first: one whose container ends meanwhile then shows as ended, not twice.
    let dirs = ContainerDir::list(&settings.bundles)?;
    let mut metas: BTreeMap<String, Meta> =
        dirs.into_iter().filter_map(|(id, dir)| Some((id.to_string(), dir.meta()?))).collect();
    let containers = client.containers().await?;
    let mut rows: Vec<Row> =
        containers.into_iter().map(|container| Row::live(&container, metas.remove(&container.id))).collect();
    if all {
        rows.extend(ended_rows(client, &rows, metas).await?);
        rows.sort_by(|one, other| one.id.cmp(&other.id));
    }
    Ok(rows)
}

/// Containers that this client started and that do not run, and those that the daemon remembers.
async fn ended_rows(
    client: &Client,
    running: &[Row],
    mut metas: BTreeMap<String, Meta>,
) -> Result<Vec<Row>, Error> {
    let events = stored(client, "", when::EPOCH).await?;
    let exits: HashMap<&str, Exit> = exits(&events);
    let mut records = client.all_ended().await?;
    // An exit event alone is nothing that could be removed.
    let mut ids: Vec<String> = metas.keys().chain(records.keys()).cloned().collect();
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|id| !running.iter().any(|row| row.id == *id));
    let row = |id: String| {
        let (record, meta) = (records.remove(&id), metas.remove(&id));
        let ended = Ended::best(record, meta.as_ref(), exits.get(id.as_str()).copied());
        Row::ended(id, meta, ended)
    };
    Ok(ids.into_iter().map(row).collect())
}

// === impl Row ===

impl Row {
    fn live(container: &Container, meta: Option<Meta>) -> Self {
        let mut processes: Vec<String> =
            container.processes.iter().map(|process| process.pid.clone()).collect();
        // `init` first, whatever the execs are called.
        processes.sort_by_key(|process| (process != INIT, process.clone()));
        let mut pids = container.pids.clone();
        pids.sort_unstable();
        Self {
            id: container.id.clone(),
            status: container.status.clone(),
            exit_status: None,
            oom_killed: None,
            exited: None,
            pids,
            processes,
            created: meta.map(|meta| meta.created),
            command: init_of(container).map(|init| init.args.clone()).unwrap_or_default(),
            bundle: container.bundle_path.clone(),
        }
    }

    fn ended(id: String, meta: Option<Meta>, ended: Option<Ended>) -> Self {
        let status = if ended.is_some() { "exited" } else { "unknown" };
        let ended = ended.unwrap_or_default();
        let known = status == "exited";
        let (created, command, bundle) = match meta {
            Some(meta) => (Some(meta.created), meta.command, meta.bundle.display().to_string()),
            None => (ended.started_at, Vec::new(), ended.bundle.unwrap_or_default()),
        };
        Self {
            id,
            status: status.to_owned(),
            exit_status: known.then_some(ended.status),
            oom_killed: ended.oom_killed,
            exited: ended.ended_at,
            pids: Vec::new(),
            processes: Vec::new(),
            created,
            command,
            bundle,
        }
    }

    fn cells(&self, now: OffsetDateTime) -> [String; 6] {
        let ago = |moment: Option<&String>| {
            moment.and_then(|moment| when::from_rfc3339(moment)).map(|moment| when::ago(moment, now))
        };
        let why = if self.oom_killed == Some(true) { ", out of memory" } else { "" };
        let status = match (self.exit_status, ago(self.exited.as_ref())) {
            (Some(status), Some(ago)) => format!("exited ({status}{why}) {ago}"),
            (Some(status), None) => format!("exited ({status}{why})"),
            (None, _) => self.status.clone(),
        };
        [
            self.id.clone(),
            status,
            if self.pids.is_empty() { "-".to_owned() } else { self.pids.len().to_string() },
            table::cell(&dash(self.processes.join(",")), PROCESSES_WIDTH),
            ago(self.created.as_ref()).unwrap_or_else(|| "-".to_owned()),
            table::cell(&dash(self.command.join(" ")), COMMAND_WIDTH),
        ]
    }
}

fn dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_api::types::Process;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2024-05-01 12:05 UTC);

    #[test]
    fn a_running_container() {
        let process = |pid: &str, arg: &str| Process {
            pid: pid.into(),
            args: vec![arg.into(), "x".into()],
            ..Process::default()
        };
        let container = Container {
            id: "web".into(),
            status: "running".into(),
            pids: vec![9, 7],
            processes: vec![process("abc", "ls"), process(INIT, "sleep")],
            ..Container::default()
        };
        let row = Row::live(&container, Some(Meta::sample("web")));
        assert_eq!(row.cells(NOW), ["web", "running", "2", "init,abc", "5 minutes ago", "sleep x"]);
        let foreign = Row::live(&Container { id: "x".into(), ..Container::default() }, None);
        assert_eq!(foreign.cells(NOW), ["x", "", "-", "-", "-", "-"]);
    }

    #[test]
    fn an_ended_container() {
        let ended = |oom_killed| Ended {
            status: 7,
            oom_killed,
            ended_at: Some("2024-05-01T12:04:00Z".into()),
            started_at: Some("2024-05-01T12:03:00Z".into()),
            ..Ended::default()
        };
        let row = Row::ended("web".into(), Some(Meta::sample("web")), Some(ended(None)));
        assert_eq!(row.cells(NOW), ["web", "exited (7) 1 minute ago", "-", "-", "5 minutes ago", "sh"]);
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!((&json["status"], &json["exitStatus"]), (&"exited".into(), &7.into()));
        let row = Row::ended("web".into(), None, Some(ended(Some(true))));
        assert_eq!(
            row.cells(NOW),
            ["web", "exited (7, out of memory) 1 minute ago", "-", "-", "2 minutes ago", "-"]
        );
        let row = Row::ended("web".into(), Some(Meta::sample("web")), None);
        assert_eq!((row.cells(NOW)[1].as_str(), row.exit_status), ("unknown", None));
    }
}

//! `gantry top`: the processes of a container, as the host sees them.

use std::collections::HashMap;
use std::fs;

use gantry_api::types::Container;
use serde::Serialize;

use super::format::Format;
use crate::client::{Client, Settings};
use crate::error::Error;
use crate::quantity::{HumanBytes, HumanNanos};
use crate::{output, table};

/// Nanoseconds of a tick of /proc: `USER_HZ` is 100 on every architecture that Gantry runs on (proc_pid_stat(5)).
const TICK_NANOS: u64 = 10_000_000;

/// Characters of a command before it is cut.
const COMMAND_WIDTH: usize = 80;

const HELP: &str = "\
PROCESS is what it belongs to: `init`, or the process that a `gantry exec` started; everything that lost its parent \
belongs to `init`. USER is the user's number on the host.

Examples:
  gantry top web
  gantry top web --format json | jq '.[].pid'";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    /// The container
    #[arg(value_name = "ID")]
    container: String,
}

/// A process of the container.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    pid: u32,
    parent_pid: u32,
    /// Which of the container's processes it is, or descends from.
    process: Option<String>,
    uid: Option<u32>,
    cpu_nanos: u64,
    memory_bytes: u64,
    /// Empty for one that has none, as one that has ended.
    command: Vec<String>,
    /// The kernel's short name of it.
    name: String,
}

pub(crate) async fn execute(settings: &Settings, args: &Args) -> Result<u8, Error> {
    let client = Client::connect(settings).await?;
    let id = &args.container;
    let Some(container) = client.container(id).await? else {
        return Err(Error::impossible(
            format!("there is no running container `{id}`"),
            "`gantry ps` lists what runs",
        ));
    };
    let rows = rows(&container);
    if rows.is_empty() && !container.pids.is_empty() {
        return Err(Error::impossible(
            format!("cannot see the processes of {id}"),
            format!(
                "they may have ended just now; if not, is the daemon at {} on this machine?",
                client.address()
            ),
        ));
    }
    if args.format == Format::Json {
        output::json(&rows)?;
    } else {
        let cells: Vec<[String; 6]> = rows.iter().map(Row::cells).collect();
        output::text(&table::render(["PID", "PROCESS", "USER", "CPU TIME", "MEMORY", "COMMAND"], &cells))?;
    }
    Ok(0)
}

fn rows(container: &Container) -> Vec<Row> {
    let mut pids = container.pids.clone();
    pids.sort_unstable();
    // One that has ended since the daemon looked is left out.
    let mut rows: Vec<Row> = pids.into_iter().filter_map(look).collect();
    let parents: HashMap<u32, u32> = rows.iter().map(|row| (row.pid, row.parent_pid)).collect();
    let known: HashMap<u32, &str> =
        container.processes.iter().map(|process| (process.system_pid, process.pid.as_str())).collect();
    for row in &mut rows {
        row.process = ancestor(row.pid, &parents, &known).map(str::to_owned);
    }
    rows
}

/// The first of `known` among a process and those above it.
fn ancestor<'a>(pid: u32, parents: &HashMap<u32, u32>, known: &HashMap<u32, &'a str>) -> Option<&'a str> {
    let mut next = Some(pid);
    // The looks were one after another, so that a reused pid could make a circle.
    for _ in 0..=parents.len() {
        let pid = next?;
        if let Some(name) = known.get(&pid) {
            return Some(name);
        }
        next = parents.get(&pid).copied();
    }
    None
}

fn look(pid: u32) -> Option<Row> {
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).ok();
    let stat = read("stat")?;
    let status = read("status").unwrap_or_default();
    let command = read("cmdline").unwrap_or_default();
    parse(pid, &String::from_utf8_lossy(&stat), &String::from_utf8_lossy(&status), &command)
}

/// From proc_pid_stat(5), proc_pid_status(5) and proc_pid_cmdline(5).
fn parse(pid: u32, stat: &str, status: &str, command: &[u8]) -> Option<Row> {
    // The name is in parentheses and may have any character in it, parentheses too.
    let (name, fields) = (stat.split_once('(')?.1).rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // Fields are counted from the one after the name, which is the third.
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<u64>().ok());
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|line| line.split_whitespace().next()).and_then(|text| text.parse::<u64>().ok())
    };
    let words = command.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let mut words: Vec<String> = words.collect();
    // Each word ends with a NUL, so the last piece is empty.
    words.pop();
    Some(Row {
        pid,
        parent_pid: u32::try_from(field(4)?).ok()?,
        process: None,
        uid: value("Uid:").and_then(|uid| u32::try_from(uid).ok()),
        cpu_nanos: (field(14)?.saturating_add(field(15)?)).saturating_mul(TICK_NANOS),
        memory_bytes: value("VmRSS:").unwrap_or(0).saturating_mul(1024),
        command: words,
        name: name.to_owned(),
    })
}

// === impl Row ===

impl Row {
    fn cells(&self) -> [String; 6] {
        let dash = || "-".to_owned();
        let command =
            if self.command.is_empty() { format!("[{}]", self.name) } else { self.command.join(" ") };
        [
            self.pid.to_string(),
            self.process.clone().unwrap_or_else(dash),
            self.uid.map_or_else(dash, |uid| uid.to_string()),
            HumanNanos(self.cpu_nanos).to_string(),
            HumanBytes(self.memory_bytes).to_string(),
            table::cell(&command, COMMAND_WIDTH),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "7 (a) b) S 5 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 1 0 1000 1000000 200";
    const STATUS: &str = "Name:\ta\nUid:\t1000\t1000\t1000\t1000\nVmRSS:\t    2048 kB\n";

    #[test]
    fn a_process_of_proc() {
        let row = parse(7, STAT, STATUS, b"sh\0-c\0\0").unwrap();
        assert_eq!(
            (row.parent_pid, row.name.as_str(), &row.command),
            (5, "a) b", &vec!["sh".into(), "-c".into(), String::new()])
        );
        assert_eq!(row.cells(), ["7", "-", "1000", "2.00 s", "2.0 MiB", "sh -c "]);
        // A zombie has neither a command nor memory.
        assert_eq!(parse(7, STAT, "", b"").unwrap().cells()[2..], ["-", "2.00 s", "0 B", "[a) b]"]);
        assert_eq!(parse(7, "7 (x", STATUS, b""), None);
    }

    #[test]
    fn everything_belongs_to_a_process_of_the_container() {
        let parents = HashMap::from([(5, 1), (6, 5), (7, 6), (8, 9), (9, 8)]);
        let known = HashMap::from([(5, "init"), (6, "abc")]);
        let of = |pid| ancestor(pid, &parents, &known);
        assert_eq!((of(5), of(6), of(7), of(8)), (Some("init"), Some("abc"), Some("abc"), None));
    }
}

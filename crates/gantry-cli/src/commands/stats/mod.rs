//! `gantry stats`: what containers use.

mod usage;

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use gantry_api::types::{StatsRequest, StatsResponse};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::format::Format;
use crate::client::{CALL_TIMEOUT, Client, Settings, timed};
use crate::error::{Error, is_not_found};
use crate::{output, table};
use usage::Usage;

/// Between the two looks that processor time is counted over.
const GLANCE: Duration = Duration::from_millis(500);

/// Between two looks with --follow.
const INTERVAL: Duration = Duration::from_secs(1);

/// Cursor to the top left, and everything below it cleared (ECMA-48).
const REDRAW: &str = "\x1b[H\x1b[J";
const CLEAR: &str = "\x1b[2J";

const HELP: &str = "\
CPU is the share of one processor over the last look (half a second, with --follow one second), so that two busy \
processors are 200 %. MEMORY leaves out files that the kernel can drop, PEAK does not. `stats` in the JSON has \
everything that the daemon says, times in nanoseconds and sizes in bytes.

Examples:
  gantry stats                        everything that runs
  gantry stats --follow web db        again each second, until they have ended
  gantry stats --format json web | jq '.[0].stats.cgroup_stats.memory_stats'";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Look again each second, until the containers have ended
    #[arg(short, long)]
    follow: bool,

    /// With --follow, JSON is one object a line
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    /// The containers; all that run if none is named
    #[arg(value_name = "ID")]
    containers: Vec<String>,
}

pub(crate) async fn execute(settings: &Settings, args: &Args) -> Result<u8, Error> {
    let client = Client::connect(settings).await?;
    let mut samples = Samples::new(&client, &args.containers);
    if args.follow {
        follow(&mut samples, args.format).await?;
        return Ok(0);
    }
    let first = samples.take().await?;
    samples.insist(&first)?;
    sleep(GLANCE).await;
    let mut second = samples.take().await?;
    // One that has ended meanwhile was seen once.
    second.extend(first.into_iter().filter(|usage| !samples.before.contains_key(&usage.id)));
    second.sort_by(|one, other| one.id.cmp(&other.id));
    match args.format {
        Format::Json => output::json(&second)?,
        Format::Table => output::text(&render(&second))?,
    }
    Ok(0)
}

async fn follow(samples: &mut Samples<'_>, format: Format) -> Result<(), Error> {
    let redraws = format == Format::Table && std::io::stdout().is_terminal();
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looked = false;
    loop {
        ticks.tick().await;
        let usages = samples.take().await?;
        if !looked {
            samples.insist(&usages)?;
            if redraws {
                output::text(CLEAR)?;
            }
        }
        if usages.is_empty() && !samples.wanted.is_empty() {
            return Ok(());
        }
        match format {
            Format::Json => usages.iter().try_for_each(output::json_line)?,
            Format::Table if redraws => output::text(&format!("{REDRAW}{}", render(&usages)))?,
            Format::Table if looked => output::text(&format!("\n{}", render(&usages)))?,
            Format::Table => output::text(&render(&usages))?,
        }
        looked = true;
    }
}

fn render(usages: &[Usage]) -> String {
    let header = ["ID", "CPU", "CPU TIME", "MEMORY", "LIMIT", "PEAK", "PIDS", "READ", "WRITTEN"];
    let rows: Vec<[String; 9]> = usages.iter().map(Usage::cells).collect();
    table::render(header, &rows)
}

/// Looks at containers, each together with the look before it.
struct Samples<'a> {
    client: &'a Client,
    /// Empty for all.
    wanted: &'a [String],
    before: HashMap<String, StatsResponse>,
}

// === impl Samples ===

impl<'a> Samples<'a> {
    fn new(client: &'a Client, wanted: &'a [String]) -> Self {
        Self { client, wanted, before: HashMap::new() }
    }

    /// A look at those that run; the others are not in it.
    async fn take(&mut self) -> Result<Vec<Usage>, Error> {
        let ids = if self.wanted.is_empty() {
            self.client.containers().await?.into_iter().map(|container| container.id).collect()
        } else {
            self.wanted.to_vec()
        };
        let mut usages = Vec::new();
        let mut now = HashMap::new();
        for id in ids {
            let Some(stats) = self.stats(&id).await? else { continue };
            usages.push(Usage::new(id.clone(), self.before.get(&id), stats.clone()));
            now.insert(id, stats);
        }
        self.before = now;
        Ok(usages)
    }

    async fn stats(&self, id: &str) -> Result<Option<StatsResponse>, Error> {
        let request = timed(StatsRequest { id: id.to_owned() }, CALL_TIMEOUT);
        match self.client.api().stats(request).await {
            Ok(answer) => Ok(Some(answer.into_inner())),
            Err(status) if is_not_found(&status) => Ok(None),
            Err(status) => Err(Error::refused(format!("read what {id} uses"), status)),
        }
    }

    /// At first, what is named must be there.
    fn insist(&self, usages: &[Usage]) -> Result<(), Error> {
        match self.wanted.iter().find(|id| !usages.iter().any(|usage| usage.id == **id)) {
            Some(missing) => Err(Error::impossible(
                format!("there is no running container `{missing}`"),
                "`gantry ps` lists what runs",
            )),
            None => Ok(()),
        }
    }
}

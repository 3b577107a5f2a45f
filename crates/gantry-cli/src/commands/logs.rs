//! `gantry logs`: what a container in the background wrote.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gantry_record::container_log::{LogRecord, Stream};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until};

use crate::bundle::ContainerDir;
use crate::bundle::meta::Logs;
use crate::client::{Client, Settings};
use crate::error::Error;
use crate::events::{EXIT, Follower, Notice};
use crate::id::INIT;
use crate::logs::files::LogFiles;
use crate::logs::plain::Tail;
use crate::logs::printer::{Printer, Wanted};
use crate::logs::watch;
use crate::{output, when};

/// A daemon that comes back within this time is not worth a message.
const QUIET_LOSS: Duration = Duration::from_secs(2);

const HELP: &str = "\
What the container wrote to stderr is written to stderr, byte for byte. Output of containers in the foreground is not \
kept; how much is kept of one in the background is said when it starts (`gantry run -d --log-max-size`).

Examples:
  gantry logs web                          what it wrote so far
  gantry logs -f --tail 10 web             the last lines, and what it writes, until it ends
  gantry logs -t --since 10m web           of the last ten minutes, with the time before each line
  gantry logs --since 2024-05-01T12:00:00Z --stderr web";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Show new output, too, until the container ends
    #[arg(short, long)]
    follow: bool,

    /// Only lines after a moment (2024-05-01T12:00:00Z), or within a span (10m, 1h30m, 7d)
    #[arg(long, value_name = "WHEN", value_parser = parse_since)]
    since: Option<OffsetDateTime>,

    /// Only so many of the last lines
    #[arg(long, value_name = "LINES")]
    tail: Option<usize>,

    /// The time before each line
    #[arg(short, long)]
    timestamps: bool,

    /// Only what was written to stdout
    #[arg(long, conflicts_with = "stderr")]
    stdout: bool,

    /// Only what was written to stderr
    #[arg(long)]
    stderr: bool,

    /// The container
    #[arg(value_name = "ID")]
    container: String,
}

fn parse_since(text: &str) -> Result<OffsetDateTime, when::BadMoment> {
    when::since(text, OffsetDateTime::now_utc())
}

pub(crate) async fn execute(settings: &Settings, args: &Args) -> Result<u8, Error> {
    let id = args.container.as_str();
    let mut source = match find(settings, id)? {
        Logs::Records { path } => Source::records(path, args.wanted()),
        Logs::Plain { stdout, stderr } => Source::plain(&stdout, &stderr, args)?,
    };
    if args.follow {
        let client = Client::connect(settings).await?;
        follow(&client, id, &mut source).await?;
    }
    source.copy()?;
    source.finish();
    Ok(0)
}

fn find(settings: &Settings, id: &str) -> Result<Logs, Error> {
    let Some(dir) = ContainerDir::open(&settings.bundles, id) else {
        return Err(Error::impossible(
            format!("there is no output of {id} here"),
            "only what `gantry run -d` started is logged; `gantry ps -a` lists containers",
        ));
    };
    dir.meta().and_then(|meta| meta.logs).ok_or_else(|| {
        Error::impossible(
            format!("the output of {id} was not kept: it ran in the foreground"),
            "`gantry run -d` keeps it",
        )
    })
}

/// Copies what is new whenever a file changes, until the container has ended.
async fn follow(client: &Client, id: &str, source: &mut Source) -> Result<(), Error> {
    // In this order: what is written, and who ends, after the look at the state is noticed.
    let mut changes = watch::folder(source.folder())?;
    let mut follower = Follower::start(client, id, when::now());
    if has_ended(client, id).await? {
        return Ok(());
    }
    let mut tell_loss_at = None;
    loop {
        source.copy()?;
        tokio::select! {
            Some(()) = changes.recv() => {}
            () = sleep_until(tell_loss_at.unwrap_or_else(Instant::now)), if tell_loss_at.is_some() => {
                tell_loss_at = None;
                output::note(&format!("gantry: the daemon at {} is gone; waiting for it", client.address()));
            }
            notice = follower.next() => match notice {
                Notice::Lost => tell_loss_at = Some(Instant::now() + QUIET_LOSS),
                Notice::Event(event) if event.r#type == EXIT && event.pid == INIT => return Ok(()),
                Notice::Resumed if has_ended(client, id).await? => return Ok(()),
                Notice::Resumed => tell_loss_at = None,
                Notice::Event(_) => {}
            }
        }
    }
}

/// Whether the container is no longer there. A daemon that goes away just now has not said so; it is asked when it is back.
async fn has_ended(client: &Client, id: &str) -> Result<bool, Error> {
    match client.container(id).await {
        Ok(container) => Ok(container.is_none()),
        Err(error) if error.is_uncertain() => Ok(false),
        Err(error) => Err(error),
    }
}

// === impl Args ===

impl Args {
    fn only(&self) -> Option<Stream> {
        match (self.stdout, self.stderr) {
            (true, _) => Some(Stream::Stdout),
            (_, true) => Some(Stream::Stderr),
            _ => None,
        }
    }

    fn wanted(&self) -> Wanted {
        // Nothing is older than the epoch.
        let since_epoch =
            |moment: OffsetDateTime| (moment - OffsetDateTime::UNIX_EPOCH).try_into().unwrap_or_default();
        let since = self.since.map(since_epoch);
        Wanted { since, tail: self.tail, timestamps: self.timestamps, only: self.only() }
    }
}

/// Where the output is, and how far it was shown.
enum Source {
    Records { files: LogFiles, folder: PathBuf, printer: Box<Printer>, damaged: u64 },
    Plain { tails: Vec<Tail>, folder: PathBuf },
}

// === impl Source ===

impl Source {
    fn records(path: PathBuf, wanted: Wanted) -> Self {
        let folder = folder_of(&path);
        Self::Records {
            files: LogFiles::new(path),
            folder,
            printer: Box::new(Printer::new(wanted)),
            damaged: 0,
        }
    }

    fn plain(stdout: &Path, stderr: &Path, args: &Args) -> Result<Self, Error> {
        if args.since.is_some() || args.tail.is_some() || args.timestamps {
            return Err(Error::impossible(
                format!("the output of {} has no times: its daemon keeps none", args.container),
                "leave out --since, --tail and --timestamps",
            ));
        }
        let mut tails = Vec::new();
        for (path, stream) in [(stdout, Stream::Stdout), (stderr, Stream::Stderr)] {
            if args.only().is_none_or(|only| only == stream) {
                tails.push(Tail::open(path, stream)?);
            }
        }
        Ok(Self::Plain { tails, folder: folder_of(stdout) })
    }

    fn folder(&self) -> &Path {
        match self {
            Self::Records { folder, .. } | Self::Plain { folder, .. } => folder,
        }
    }

    /// Shows everything up to now.
    fn copy(&mut self) -> Result<(), Error> {
        match self {
            Self::Records { files, printer, damaged, .. } => {
                while let Some(line) = files.next_line()? {
                    match LogRecord::parse(line) {
                        Some(record) => printer.print(&record)?,
                        None => *damaged += 1,
                    }
                }
                printer.caught_up()
            }
            Self::Plain { tails, .. } => tails.iter_mut().try_for_each(Tail::copy),
        }
    }

    fn finish(&self) {
        if let Self::Records { damaged: damaged @ 1.., .. } = self {
            output::note(&format!("gantry: left out {damaged} damaged lines of the log"));
        }
    }
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or_else(|| Path::new("/")).to_owned()
}

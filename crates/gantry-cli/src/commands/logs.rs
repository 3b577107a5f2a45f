//! `gantry logs`: the files that the output of a container in the background goes to.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::thread;

use rustix::fs::inotify;
use rustix::io::Errno;
use tokio::sync::mpsc;

use crate::bundle::ContainerDir;
use crate::bundle::meta::Logs;
use crate::client::{Client, Settings};
use crate::error::Error;
use crate::events::{EXIT, Follower, Notice};
use crate::id::INIT;
use crate::{output, when};

const HELP: &str = "\
What the container wrote to stderr is written to stderr. Output of containers in the foreground is not kept.

Examples:
  gantry logs web             what it wrote so far
  gantry logs -f web          and what it writes, until it ends
  gantry logs web 2>/dev/null";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Show new output, too, until the container ends
    #[arg(short, long)]
    follow: bool,

    /// The container
    #[arg(value_name = "ID")]
    container: String,
}

pub(crate) async fn execute(settings: &Settings, args: &Args) -> Result<u8, Error> {
    let id = args.container.as_str();
    let logs = find(settings, id)?;
    let mut tails = [Tail::open(&logs.stdout, Stream::Stdout)?, Tail::open(&logs.stderr, Stream::Stderr)?];
    if args.follow {
        let client = Client::connect(settings).await?;
        follow(&client, id, &logs, &mut tails).await?;
    }
    copy(&mut tails)?;
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
async fn follow(client: &Client, id: &str, logs: &Logs, tails: &mut [Tail; 2]) -> Result<(), Error> {
    // In this order: what is written, and who ends, after the look at the state is noticed.
    let mut changes = watch(&[&logs.stdout, &logs.stderr])?;
    let mut follower = Follower::start(client, id, when::now());
    if client.container(id).await?.is_none() {
        return Ok(());
    }
    loop {
        copy(tails)?;
        tokio::select! {
            Some(()) = changes.recv() => {}
            notice = follower.next() => match notice {
                Notice::Event(event) if event.r#type == EXIT && event.pid == INIT => return Ok(()),
                Notice::Resumed if client.container(id).await?.is_none() => return Ok(()),
                _ => {}
            }
        }
    }
}

/// Tells when one of the files has changed. A thread waits for that: it ends with the client.
fn watch(paths: &[&Path]) -> Result<mpsc::Receiver<()>, Error> {
    let failed = |error: io::Error| Error::system("watch the log files", error);
    let inotify = inotify::init(inotify::CreateFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
    for path in paths {
        inotify::add_watch(&inotify, *path, inotify::WatchFlags::MODIFY)
            .map_err(|errno| failed(errno.into()))?;
    }
    // One message that waits says it all: what changed is read from the files.
    let (sender, changes) = mpsc::channel(1);
    let wait = move || {
        let mut buffer = [0_u8; 4096];
        while matches!(rustix::io::read(&inotify, &mut buffer), Ok(1..) | Err(Errno::INTR)) {
            if let Err(mpsc::error::TrySendError::Closed(())) = sender.try_send(()) {
                return;
            }
        }
    };
    thread::Builder::new().name("inotify".to_owned()).spawn(wait).map_err(failed)?;
    Ok(changes)
}

fn copy(tails: &mut [Tail; 2]) -> Result<(), Error> {
    tails.iter_mut().try_for_each(Tail::copy)
}

#[derive(Debug, Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

/// A file of which everything up to now was copied.
struct Tail {
    file: File,
    to: Stream,
}

// === impl Tail ===

impl Tail {
    fn open(path: &Path, to: Stream) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| Error::file("read", path, error))?;
        Ok(Self { file, to })
    }

    fn copy(&mut self) -> Result<(), Error> {
        let mut buffer = vec![0_u8; 64 << 10];
        loop {
            let count = self.file.read(&mut buffer).map_err(|error| Error::system("read the log", error))?;
            if count == 0 {
                return Ok(());
            }
            match self.to {
                Stream::Stdout => output::bytes(&mut io::stdout(), &buffer[..count])?,
                Stream::Stderr => output::bytes(&mut io::stderr(), &buffer[..count])?,
            }
        }
    }
}

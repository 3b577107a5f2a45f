//! ctr 0.2: the client under the name by which scripts call containerd's.
//!
//! Commands, flags, columns, texts and exit statuses are 0.2's, down to Go's reading of a command line (`flags`). What
//! a script cannot have relied on is better: output is whole when ctr ends, an exec's terminal has the right size.
//!
//! `command` defines what can be typed, `line` reads it, `calls`, `containers`, `checkpoints` and `events` are the
//! commands that ask the daemon, `process` those that start something, with `attach` for its stdio. Bytes, FIFOs and
//! terminal are the modern client's.

mod attach;
mod calls;
mod checkpoints;
mod command;
mod containers;
mod error;
mod events;
mod flags;
mod follow;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod go;
mod line;
mod process;
mod stdio;
mod table;

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use calls::Daemon;
use command::Action;
use error::Error;
use line::{Line, Run};

/// What the link may be called.
const NAMES: [&str; 2] = ["ctr", "docker-containerd-ctr"];

/// Whether this program was executed as ctr.
pub(crate) fn is_name(executed_as: Option<&OsStr>) -> bool {
    let name = executed_as.and_then(|path| Path::new(path).file_name());
    NAMES.into_iter().any(|known| name == Some(OsStr::new(known)))
}

/// Does what the words after the program's name ask for.
pub(crate) fn main(words: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let done =
        words.map(utf8).collect::<Result<Vec<_>, _>>().and_then(|words| Line::read(&words)).and_then(execute);
    match done {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            crate::output::note(&error.line());
            ExitCode::from(error.exit_status())
        }
    }
}

fn utf8(word: std::ffi::OsString) -> Result<String, Error> {
    word.into_string().map_err(|word| Error::NotUtf8(PathBuf::from(word)))
}

fn execute(line: Line) -> Result<u8, Error> {
    match line {
        Line::Print(text) => print(&text).map(|()| 0),
        Line::Mistake(help, mistake) => {
            print(&format!("Incorrect Usage.\n\n{help}"))?;
            Err(mistake.into())
        }
        Line::Run(run) => {
            // One thread is enough for one connection; the bytes of attached processes have threads of their own.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| crate::error::Error::system("start", error))?;
            runtime.block_on(dispatch(&run))
        }
    }
}

async fn dispatch(run: &Run) -> Result<u8, Error> {
    let daemon = Daemon::new(&run.global);
    let done = match run.action {
        Action::Start => return process::start(&daemon, run).await,
        Action::Exec => return process::exec(&daemon, run).await,
        Action::Help => Ok(()),
        Action::Version => calls::version(&daemon).await,
        Action::State => calls::state(&daemon, run).await,
        Action::Stats => calls::stats(&daemon, run).await,
        Action::Events => events::table(&daemon, run).await,
        Action::Watch => events::watch(&daemon, run).await,
        Action::List => containers::list(&daemon, run).await,
        Action::Kill => containers::kill(&daemon, run).await,
        Action::Pause => containers::set_status(&daemon, run, "paused").await,
        Action::Resume => containers::set_status(&daemon, run, "running").await,
        Action::Update => containers::update(&daemon, run).await,
        Action::ListCheckpoints => checkpoints::list(&daemon, run).await,
        Action::CreateCheckpoint => checkpoints::create(&daemon, run).await,
        Action::DeleteCheckpoint => checkpoints::delete(&daemon, run).await,
    };
    done.map(|()| 0)
}

/// Text on standard output, at once.
fn print(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Error::Output)
}

// === impl Run ===

impl Run {
    /// An argument by its place; empty if it was not given, as with Go's library.
    fn arg(&self, index: usize) -> String {
        self.args.get(index).cloned().unwrap_or_default()
    }

    /// An argument that must be there; `what` is what it is called.
    fn required(&self, index: usize, what: &'static str) -> Result<String, Error> {
        Some(self.arg(index)).filter(|arg| !arg.is_empty()).ok_or(Error::Missing(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides() {
        let named = |name: &str| is_name(Some(OsStr::new(name)));
        assert!(named("ctr") && named("/usr/bin/ctr") && named("./docker-containerd-ctr"));
        assert!(!named("gantry") && !named("/ctr/gantry") && !named("") && !is_name(None));
    }
}

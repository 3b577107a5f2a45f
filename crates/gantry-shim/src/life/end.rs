//! The end: the status, the rest of the container, the last output, the report, and then the client's leisure.
//!
//! The order is the contract. The status, with the usage just before it, is on disk before anything else is tried. The `exit` FIFO closes
//! when all output is with the client or in its FIFO and the runtime has forgotten the container, so whoever
//! sees the hang-up can reuse the id and needs nothing of the bundle. After that the shim touches nothing of
//! the state dir any more.

use super::{Kind, Shim, earlier};
use crate::contract::{Folder, StartMarker};
use crate::error::Result;
use crate::event_loop::{EventLoop, Ready, Source};
use crate::logging::Logger;
use crate::process::Ended;
use crate::reaper;
use crate::runtime::Outcome;
use crate::stdio::{Direct, Stdio, Terminal, Unread, Writers};
use gantry_record::failpoint;
use gantry_record::layout::name;
use gantry_record::{ExitStatus, Usage, atomic, layout};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long others may write to init's output after all of them were killed.
const REST_LIMIT: Duration = Duration::from_secs(5);
/// How long a client that does not read its terminal's output delays the report.
const FULL_LIMIT: Duration = Duration::from_secs(10);
/// How long unread output is kept after the report.
const LINGER_LIMIT: Duration = Duration::from_secs(60);
/// How long a start that the daemon has not finished delays the report; a daemon that was killed never does.
const START_LIMIT: Duration = Duration::from_secs(10);
/// The pause before the second `delete`: the kernel may still be taking the cgroup apart.
const DELETE_PAUSE: Duration = Duration::from_millis(100);

/// How long a status that could not be written waits for room or a daemon, and the pauses between two attempts.
const UNTOLD_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// The output that may be unread when the exit has been reported.
enum Rest {
    Fifos(Writers),
    Terminal(Terminal),
}

impl Shim<'_> {
    /// Ends after the process has.
    pub(super) fn end(self, ended: &Ended) -> Result<()> {
        // What the process itself is needed for is over.
        let Self { log, folder, exit, control, events, driver, stdio, mut logger, kind, cgroup, .. } = self;
        failpoint::at("shim::exit-seen");
        if let Some(remark) = ended.remark {
            log.warn(remark);
        }
        if kind != Kind::Exec {
            let usage = Usage {
                cpu_nanos: cgroup.cpu_nanos().or(ended.used.cpu_nanos),
                peak_memory_bytes: cgroup.peak_memory_bytes().or(ended.used.peak_memory_bytes),
                oom_kills: cgroup.oom_kills(),
            };
            if usage != Usage::default() {
                // Figures of no consequence; a failure has none either.
                let _ = folder.here.write_usage(&usage);
            }
        }
        drop(cgroup);
        failpoint::at("shim::usage-noted");
        // Whoever has reaped it may have written down what the kernel does not tell anybody else.
        let recorded = || folder.here.exit_status().ok().flatten();
        let status = ended.status.map(|status| match ended.remark {
            Some(_) => recorded().unwrap_or(status),
            None => status,
        });
        let unwritten = status.filter(|status| folder.here.write_exit_status(*status).is_err());
        let unwritten = unwritten.map(|status| {
            log.warn(format!("exitStatus could not be written, status {status} goes through the exit FIFO"));
            (status, exit.send(status))
        });
        failpoint::at("shim::status-told");
        // Nothing that comes now has a meaning.
        drop(control);

        if kind == (Kind::Init { kills_the_rest: false }) {
            // A failure shows itself in what follows, where it matters.
            let _ = driver.kill_all();
            failpoint::at("shim::rest-killed");
        }
        let settling = Settling { events: &events, kind, begun: Instant::now() };
        let rest = match stdio {
            Stdio::Direct(streams) => Rest::Fifos(settling.direct(streams, logger.as_mut())?),
            Stdio::Terminal(mut terminal) => {
                settling.terminal(&mut terminal, logger.as_mut())?;
                if let Some(error) = terminal.take_loss() {
                    log.warn(format!("output of the terminal was lost: {error}"));
                }
                Rest::Terminal(terminal)
            }
        };
        failpoint::at("shim::drained");
        for complaint in logger.map(Logger::finish).unwrap_or_default() {
            log.warn(complaint);
        }
        failpoint::at("shim::logs-finished");
        settling.orphans()?;
        failpoint::at("shim::orphans-reaped");
        let marker = settling.start()?;
        failpoint::at("shim::start-over");
        if kind != Kind::Exec {
            match delete(&events, || driver.delete())? {
                Ok(()) => {
                    failpoint::at("shim::deleted");
                    let deleted = folder.here.file(name::DELETED);
                    // Without this marker the daemon deletes once more, which does no harm.
                    let _ = atomic::write(&deleted, b"", layout::FILE_MODE);
                }
                Err(problem) => log.warn(format!("the runtime could not delete {}: {problem}", driver.id())),
            }
        }
        if let Some((status, told)) = unwritten {
            tell(&events, &folder, status, told)?;
        }
        let _ = rustix::process::chdir("/");
        failpoint::at("shim::folder-left");
        drop(exit);
        failpoint::at("shim::exit-closed");
        drop(marker);
        linger(&events, rest)
    }
}

/// Waiting for the last output.
struct Settling<'a> {
    events: &'a EventLoop,
    kind: Kind,
    begun: Instant,
}

impl Settling<'_> {
    /// An exec is over when its background children are, as long as that takes (0.2 specification, section 3.1).
    fn limit(&self) -> Option<Instant> {
        (self.kind != Kind::Exec).then(|| self.begun + REST_LIMIT)
    }

    /// After `kill --all`, waits until those that became ours are reaped, so that nothing of the container runs
    /// any more when its exit is reported.
    fn orphans(&self) -> Result<()> {
        if self.kind != (Kind::Init { kills_the_rest: false }) {
            return Ok(());
        }
        reaper::reap(None);
        while reaper::has_children() && !is_past(self.limit()) {
            wait(self.events, self.limit())?;
        }
        Ok(())
    }

    /// Init may have been quicker than the start that let it go. What is returned is to be dropped late.
    fn start(&self) -> Result<Option<StartMarker>> {
        if self.kind == Kind::Exec {
            return Ok(None);
        }
        let marker = StartMarker::look(self.events);
        let deadline = Some(self.begun + START_LIMIT);
        let mut ready = Ready::default();
        while marker.is_there(ready) && !is_past(deadline) {
            ready = wait(self.events, deadline)?;
        }
        marker.stop_listening(self.events);
        Ok(Some(marker))
    }

    fn direct(&self, streams: Direct, mut logger: Option<&mut Logger>) -> Result<Writers> {
        let mut writers = Writers::new(streams.into_outputs())?;
        // Where a client that also writes can't be told from those that matter, not even an exec waits for ever.
        let limit = if writers.can_tell() { self.limit() } else { Some(self.begun + REST_LIMIT) };
        if let Some(logger) = logger.as_mut().filter(|_| !writers.can_tell()) {
            logger.close_writers();
        }
        let mut gone = writers.are_gone_already(self.events)?;
        let mut ready = Ready::all();
        while !gone && !is_past(limit) {
            let again_at = logger.as_mut().and_then(|logger| {
                logger.copy_if(ready);
                logger.again_at()
            });
            let deadline = earlier(earlier(limit, writers.look_again()), again_at);
            ready = wait(self.events, deadline)?;
            gone = writers.are_gone(self.events, ready);
        }
        writers.stop_listening(self.events);
        Ok(writers)
    }

    fn terminal(&self, terminal: &mut Terminal, mut logger: Option<&mut Logger>) -> Result<()> {
        terminal.end_input();
        let mut ready = Ready::all();
        loop {
            terminal.copy();
            let made_room = logger.as_mut().is_some_and(|logger| logger.copy_if(ready));
            let limit = match terminal.full_since() {
                Some(since) => Some(since.max(self.begun) + FULL_LIMIT),
                None => self.limit(),
            };
            let again_at = terminal.again_at();
            if terminal.is_drained() || (again_at.is_none() && is_past(limit)) {
                return Ok(());
            }
            // Room in the log's FIFO is known before there is an event.
            let deadline = if made_room { Some(Instant::now()) } else { again_at.or(limit) };
            ready = wait(self.events, deadline)?;
        }
    }
}

/// Runs `delete` until it succeeds, twice at most.
fn delete(events: &EventLoop, attempt: impl Fn() -> Result<Outcome>) -> Result<Result<(), String>> {
    let attempt = || match attempt() {
        Ok(outcome) if outcome.status.success() => Ok(()),
        // Somebody else has been quicker.
        Ok(outcome) if outcome.output.contains("does not exist") => Ok(()),
        Ok(outcome) => Err(format!("{}: {}", outcome.status, outcome.output)),
        Err(error) => Err(error.to_string()),
    };
    if attempt().is_ok() {
        return Ok(Ok(()));
    }
    let deadline = Instant::now() + DELETE_PAUSE;
    while !is_past(Some(deadline)) {
        wait(events, Some(deadline))?;
    }
    Ok(attempt())
}

/// Stays until `exitStatus` can be written or a daemon has taken the status from the FIFO: nobody else knows it. Whether
/// the disk has room again is not announced by the kernel, so that is tried again and again, ever more rarely.
fn tell(events: &EventLoop, folder: &Folder, status: ExitStatus, told: Option<OwnedFd>) -> Result<()> {
    let deadline = Instant::now() + UNTOLD_LIMIT;
    // Nothing if the folder is gone: no daemon would come for it.
    let mut told = Unread::new(events, told.into_iter().collect());
    let mut pause = FIRST_RETRY;
    let mut ready = Ready::default();
    while folder.here.write_exit_status(status).is_err() && !told.is_taken(ready) && !is_past(Some(deadline))
    {
        failpoint::at("shim::status-untold");
        ready = wait(events, Some(Instant::now() + pause))?;
        pause = (pause * 2).min(LAST_RETRY);
    }
    Ok(())
}

/// Stays until a reader has taken what is left.
fn linger(events: &EventLoop, rest: Rest) -> Result<()> {
    let deadline = Instant::now() + LINGER_LIMIT;
    let fifos = match rest {
        Rest::Fifos(writers) => writers.into_read_ends(),
        Rest::Terminal(mut terminal) => {
            while terminal.has_output() && !is_past(Some(deadline)) {
                wait(events, earlier(Some(deadline), terminal.again_at()))?;
                terminal.copy();
            }
            terminal.into_read_end().into_iter().collect()
        }
    };
    let mut unread = Unread::new(events, fifos);
    let mut ready = Ready::default();
    while !unread.is_taken(ready) && !is_past(Some(deadline)) {
        ready = wait(events, Some(deadline))?;
    }
    Ok(())
}

/// Waits, and reaps whatever ends meanwhile.
fn wait(events: &EventLoop, deadline: Option<Instant>) -> Result<Ready> {
    let ready = events.wait(deadline)?;
    if ready.has(Source::Child) {
        reaper::reap(None);
    }
    Ok(ready)
}

fn is_past(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|at| at <= Instant::now())
}

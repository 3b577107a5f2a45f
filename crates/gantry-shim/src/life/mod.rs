//! A shim's life, in the order in which it happens: `start` or `adopt`, `serve` in here, `end`.

mod adopt;
mod end;
mod start;

use crate::cgroup::Cgroup;
use crate::contract::{Arguments, Control, ExitPipe, Folder, Origin, Readiness, ShimLog};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Ready, Source};
use crate::logging::{Logger, Plan};
use crate::process::{Ended, Process};
use crate::runtime::{BuiltIn, Driver};
use crate::stdio::{How, Size, Stdio};
use crate::sys::{self, Inherited};
use crate::{hardening, oom};
use gantry_oci::Runtime;
use gantry_record::ProcessRecord;
use gantry_record::control::ControlMessage;
use gantry_record::failpoint;
use rustix::event::epoll::EventFlags;
use rustix::fs::Mode;
use rustix::process::{Gid, Pid, Uid};
use std::path::Path;
use std::time::Instant;

/// A process that exists, and all that the shim holds for it.
struct Shim<'a> {
    log: &'a ShimLog,
    folder: Folder,
    exit: ExitPipe,
    control: Control,
    events: EventLoop,
    driver: Driver,
    process: Process,
    stdio: Stdio,
    /// Only if a stream is to be logged.
    logger: Option<Logger>,
    /// What kind of process it is.
    kind: Kind,
    /// The container's cgroup; none for an exec.
    cgroup: Cgroup,
    /// Whether a successor waits to take over.
    hands_over: bool,
}

/// What a beginning brings.
struct Begun {
    process: Process,
    stdio: Stdio,
    kind: Kind,
    /// When the runtime's command began and ended, in nanoseconds since 1970; zero where none was run.
    runtime: [u64; 2],
}

/// What the end of a process means for its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The container ends with it.
    Init {
        /// It was pid 1 of its own pid namespace, so the kernel has killed all the rest with it
        /// (`pid_namespaces(7)`).
        kills_the_rest: bool,
    },
    /// The container goes on.
    Exec,
}

/// Lives; an error is a failure before the process was ready, or one that leaves no way to go on.
pub(crate) fn run(
    arguments: Arguments,
    built_in: Option<BuiltIn>,
    inherited_umask: Mode,
    readiness: Readiness,
    log: &ShimLog,
) -> Result<()> {
    let folder = Folder::current()?;
    failpoint::at("shim::log-opened");
    failpoint::io("shim::open-exit").map_err(Error::setup("opening the exit FIFO"))?;
    let exit = ExitPipe::open()?;
    failpoint::at("shim::exit-opened");
    let control = Control::open()?;
    failpoint::at("shim::control-opened");
    let mut record = folder.here.load()?;
    failpoint::at("shim::record-read");
    let events = EventLoop::new()?;
    // Nothing is heard from it before there is somebody to obey, but nothing can fail any more then either.
    events.add(&control, Source::Control, EventFlags::empty()).map_err(Error::setup("epoll_ctl"))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(Error::setup("becoming a subreaper"))?;
    failpoint::at("shim::subreaper");
    let runtime = Runtime::new(arguments.runtime, record.runtime_args.clone());
    let inherited = Inherited { umask: inherited_umask, core: hardening::forbid_cores() };
    let driver = Driver::new(runtime, built_in, arguments.id, inherited);
    let plan = Plan::take(&mut record)?;
    let (logger, begun) = match arguments.origin {
        Origin::Start => {
            let logger = plan.map(|plan| Logger::create(&events, plan)).transpose()?;
            failpoint::at("shim::logger-made");
            (logger, start::start(&events, &folder, &record, &driver, &arguments.bundle)?)
        }
        Origin::Adoption => adopt::adopt(&events, &folder, &record, plan, log)?,
    };
    let times = record.trace.then_some(begun.runtime);
    drop(record);
    failpoint::at("shim::process-there");
    hardening::hide();

    let Begun { process, stdio, kind, .. } = begun;
    let mut shim = Shim {
        log,
        folder,
        exit,
        control,
        events,
        driver,
        process,
        stdio,
        logger,
        kind,
        cgroup: Cgroup::default(),
        hands_over: false,
    };
    shim.events.change(&shim.control, Source::Control, EventFlags::IN).map_err(Error::setup("epoll_ctl"))?;
    // A size that was sent before there was a terminal holds from the start.
    shim.obey();
    // What the one before was asked for.
    shim.hands_over = false;
    failpoint::at("shim::obedient");
    readiness.ready(times);
    failpoint::at("shim::ready-said");
    if kind != Kind::Exec {
        shim.cgroup = shim.process.inspect(Cgroup::of).unwrap_or_default();
    }
    failpoint::at("shim::cgroup-found");
    drop(arguments.bundle);
    shim.process.inspect(oom::outlive);
    failpoint::at("shim::oom-score-set");
    let given_up = if kind == Kind::Exec { hardening::beside_exec() } else { hardening::beside_init() };
    if let Err(error) = given_up {
        log.warn(format!("{error}; going on with the privileges that are left"));
    }
    failpoint::at("shim::hardened");
    match shim.serve()? {
        Some(ended) => shim.end(&ended),
        // The process and all that belongs to it is left as it is: the daemon holds a second end of everything.
        None => {
            failpoint::at("shim::hands-over");
            Ok(())
        }
    }
}

fn paths(record: &ProcessRecord) -> [&Path; 3] {
    let ProcessRecord { stdin, stdout, stderr, .. } = record;
    [stdin, stdout, stderr].map(Path::new)
}

fn how(record: &ProcessRecord, nonblocking: bool) -> How {
    let (uid, gid) = (record.root_uid, record.root_gid);
    let owner = (uid != 0 || gid != 0).then(|| (Uid::from_raw(uid), Gid::from_raw(gid)));
    How { nonblocking, owner }
}

impl Kind {
    /// Looks, while the process is there, what its end will mean.
    fn of(record: &ProcessRecord, process: &Process) -> Self {
        if record.exec {
            return Self::Exec;
        }
        // Killing the rest once more does no harm.
        Self::Init { kills_the_rest: process.inspect(is_first_of_its_namespace).unwrap_or(false) }
    }
}

/// `NSpid` lists the pid in each namespace from ours inwards (`proc_pid_status(5)`).
fn is_first_of_its_namespace(pid: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let pids: Vec<&str> = pids.split_ascii_whitespace().collect();
    pids.len() > 1 && pids.last() == Some(&"1")
}

impl Shim<'_> {
    /// Waits until the process has ended; nothing if a successor is to do so.
    fn serve(&mut self) -> Result<Option<Ended>> {
        // It may have ended while nobody listened yet.
        let mut ready = Ready::all();
        let mut is_trimmed = false;
        loop {
            // First, since what a client types next may be meant for the new size.
            if ready.has(Source::Control) {
                self.obey();
            }
            if let Some(ended) = self.process.look(&self.events, ready) {
                return Ok(Some(ended));
            }
            if self.hands_over && self.stdio.holds_nothing() {
                return Ok(None);
            }
            let again_at = earlier(self.copy(ready), self.process.deadline());
            if !is_trimmed {
                // As late as can be: whatever is executed from here on comes back into memory.
                sys::trim_heap();
                sys::trim_stack();
                sys::trim_program();
                is_trimmed = true;
            }
            ready = self.events.wait(again_at)?;
        }
    }

    /// Copies what is to be copied; when to do so again even if nothing happens.
    fn copy(&mut self, ready: Ready) -> Option<Instant> {
        let Self { stdio, logger, log, .. } = self;
        let again_at = match stdio {
            Stdio::Terminal(terminal) => {
                terminal.copy_if(ready);
                terminal.again_at()
            }
            Stdio::Direct(_) => None,
        };
        let Some(logger) = logger else { return again_at };
        let made_room = logger.copy_if(ready);
        for complaint in logger.take_complaints() {
            log.warn(complaint);
        }
        // A terminal that waits for its client need not wait any longer.
        if again_at.is_some() && made_room {
            Some(Instant::now())
        } else {
            earlier(again_at, logger.again_at())
        }
    }

    /// Does what the daemon has written to `control`.
    fn obey(&mut self) {
        let Self { control, stdio, hands_over, .. } = self;
        control.receive(|message| match (message, &mut *stdio) {
            (ControlMessage::CloseStdin, Stdio::Direct(streams)) => streams.close_stdin(),
            (ControlMessage::CloseStdin, Stdio::Terminal(terminal)) => terminal.close_stdin(),
            (ControlMessage::Resize { width, height }, Stdio::Terminal(terminal)) => {
                terminal.resize(Size { width, height });
            }
            (ControlMessage::Resize { .. }, Stdio::Direct(_)) => {}
            (ControlMessage::HandOver, _) => *hands_over = true,
        });
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

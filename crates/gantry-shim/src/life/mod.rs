//! A shim's life, in the order in which it happens: `start`, `serve` in here, `end`.

mod end;
mod start;

use crate::contract::{Arguments, Control, ExitPipe, Folder, Readiness, ShimLog};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Source};
use crate::reaper::Reaper;
use crate::runtime::Driver;
use crate::stdio::{Size, Stdio};
use crate::sys;
use gantry_oci::Runtime;
use gantry_record::ExitStatus;
use gantry_record::control::ControlMessage;
use rustix::event::epoll::EventFlags;
use rustix::fs::Mode;
use rustix::process::DumpableBehavior;
use std::time::Instant;

/// A process that exists, and all that the shim holds for it.
struct Shim<'a> {
    log: &'a ShimLog,
    folder: Folder,
    exit: ExitPipe,
    control: Control,
    events: EventLoop,
    driver: Driver,
    reaper: Reaper,
    stdio: Stdio,
    /// What kind of process it is.
    kind: Kind,
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
    inherited_umask: Mode,
    readiness: Readiness,
    log: &ShimLog,
) -> Result<()> {
    let folder = Folder::current()?;
    let exit = ExitPipe::open()?;
    let control = Control::open()?;
    let record = folder.here.load()?;
    let events = EventLoop::new()?;
    // Nothing is heard from it before there is somebody to obey, but nothing can fail any more then either.
    events.add(&control, Source::Control, EventFlags::empty()).map_err(Error::setup("epoll_ctl"))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(Error::setup("becoming a subreaper"))?;
    let runtime = Runtime::new(arguments.runtime, record.runtime_args.clone());
    let driver = Driver::new(runtime, arguments.id, inherited_umask);
    let started = start::start(&events, &folder, &record, &driver, &arguments.bundle)?;
    drop(record);
    // No core of a process that has seen an environment, and no other user's debugger. Not before: the runtime
    // may have had to reach the console socket through our folder in /proc.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);

    let (reaper, stdio, kind) = (started.reaper, started.stdio, started.kind);
    let mut shim = Shim { log, folder, exit, control, events, driver, reaper, stdio, kind };
    shim.events.change(&shim.control, Source::Control, EventFlags::IN).map_err(Error::setup("epoll_ctl"))?;
    // A size that was sent before there was a terminal holds from the start.
    shim.obey();
    readiness.ready();
    drop(arguments.bundle);
    sys::trim_heap();
    let status = shim.serve()?;
    shim.end(status)
}

impl Shim<'_> {
    /// Waits until the process has ended.
    fn serve(&mut self) -> Result<ExitStatus> {
        // It may have ended while only the runtime was being waited for.
        let mut ended = self.reaper.reap();
        while ended.is_none() {
            let at_once = match &self.stdio {
                Stdio::Terminal(terminal) if terminal.has_more() => Some(Instant::now()),
                _ => None,
            };
            let ready = self.events.wait(at_once)?;
            if ready.has(Source::Control) {
                self.obey();
            }
            if let Stdio::Terminal(terminal) = &mut self.stdio {
                terminal.copy_if(ready);
            }
            if ready.has(Source::Child) {
                ended = self.reaper.reap();
            }
        }
        Ok(ended.unwrap_or(ExitStatus::UNKNOWN))
    }

    /// Does what the daemon has written to `control`.
    fn obey(&mut self) {
        let Self { control, stdio, .. } = self;
        control.receive(|message| match (message, &mut *stdio) {
            (ControlMessage::CloseStdin, Stdio::Direct(streams)) => streams.close_stdin(),
            (ControlMessage::CloseStdin, Stdio::Terminal(terminal)) => terminal.close_stdin(),
            (ControlMessage::Resize { width, height }, Stdio::Terminal(terminal)) => {
                terminal.resize(Size { width, height });
            }
            (ControlMessage::Resize { .. }, Stdio::Direct(_)) => {}
        });
    }
}

//! The beginning: streams, the runtime's `create`, `exec` or `restore`, the terminal, the pid.

use super::{Begun, Kind};
use crate::console::{ConsoleSocket, Pair};
use crate::contract::Folder;
use crate::error::{Error, Result};
use crate::event_loop::EventLoop;
use crate::process::Process;
use crate::reaper;
use crate::runtime::{Driver, Printed, Running, Streams};
use crate::stdio::{Client, Direct, Size, Stdio, Terminal};
use gantry_oci::{Console, Create, Exec, Logging};
use gantry_record::ProcessRecord;
use gantry_record::failpoint;
use gantry_record::layout::name;
use gantry_record::ready::now;
use rustix::process::{Pid, Signal};
use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

mod checkpoint;

/// How long the terminal may take after the runtime has said that all is well.
const TERMINAL_LIMIT: Duration = Duration::from_secs(10);

/// What a start has to do with.
struct Start<'a> {
    events: &'a EventLoop,
    folder: &'a Folder,
    record: &'a ProcessRecord,
    driver: &'a Driver,
    bundle: &'a Path,
    /// When the runtime's command began and ended.
    times: Cell<[u64; 2]>,
}

/// Has the runtime make the process. On failure nothing of it remains, except what the logs say.
pub(super) fn start(
    events: &EventLoop,
    folder: &Folder,
    record: &ProcessRecord,
    driver: &Driver,
    bundle: &Path,
) -> Result<Begun> {
    let start = Start { events, folder, record, driver, bundle, times: Cell::default() };
    rustix::fs::access(bundle, rustix::fs::Access::EXEC_OK).map_err(Error::open(bundle))?;
    if record.terminal() { start.with_terminal() } else { start.without_terminal() }
}

impl Start<'_> {
    fn without_terminal(&self) -> Result<Begun> {
        let [stdin, stdout, stderr] = super::paths(self.record);
        failpoint::io("shim::open-streams").map_err(Error::setup("opening the streams"))?;
        let mut streams = Direct::open(stdin, stdout, stderr, super::how(self.record, false))?;
        failpoint::at("shim::streams-opened");
        let child = self.spawn(None, streams.streams()?)?;
        let status = self.wait(child, None);
        let finished = status
            .and_then(|(status, _)| self.check(status, || streams.peek_stderr()))
            .and_then(|()| self.meet());
        let (process, kind) = finished.inspect_err(|_| self.clean_up())?;
        failpoint::at("shim::met");
        streams.process_exists();
        Ok(Begun { process, stdio: Stdio::Direct(streams), kind, runtime: self.times.get() })
    }

    fn with_terminal(&self) -> Result<Begun> {
        let [stdin, stdout, _] = super::paths(self.record);
        let client = Client::open(stdin, stdout, super::how(self.record, true))?;
        failpoint::at("shim::client-opened");
        // Either this shim makes the terminal, or the runtime does and sends it here.
        let (pair, mut socket) = if self.record.console_path {
            (Some(Pair::open(self.record.root_uid, self.record.root_gid)?), None)
        } else {
            (None, Some(ConsoleSocket::listen(self.events, self.folder.absolute.path())?))
        };
        failpoint::at("shim::console-ready");
        let console = pair.as_ref().map(|pair| Console::Path(pair.path()));
        let console = console.or_else(|| socket.as_ref().map(|socket| Console::Socket(socket.address())));
        // The process gets the terminal, so what the runtime itself prints can be caught.
        let printed = Printed::new()?;
        let streams = [None, Some(printed.end()?), Some(printed.end()?)];
        let child = self.spawn(console, streams)?;
        let finish = || {
            let (status, sent) = self.wait(child, socket.as_mut())?;
            self.check(status, || Some(printed.tail()))?;
            let (process, kind) = self.meet()?;
            failpoint::at("shim::terminal-came");
            let master = pair.map(Pair::into_master).or(sent);
            let master = master.ok_or(Error::NoTerminal { seconds: TERMINAL_LIMIT.as_secs() })?;
            let terminal = Terminal::new(self.events, master, client)?;
            if let Some(size) = console_size(self.record) {
                terminal.resize(size);
            }
            Ok(Begun { process, stdio: Stdio::Terminal(terminal), kind, runtime: self.times.get() })
        };
        finish().inspect_err(|_| self.clean_up())
    }

    fn spawn(&self, console: Option<Console<'_>>, streams: Streams) -> Result<Running> {
        self.times.set([now(), 0]);
        failpoint::io("shim::run-runtime").map_err(Error::setup("starting the runtime"))?;
        let running = self.driver.spawn(self.command(console)?, self.bundle, streams)?;
        failpoint::at("shim::runtime-spawned");
        Ok(running)
    }

    fn command(&self, console: Option<Console<'_>>) -> Result<Command> {
        let folder = &self.folder.absolute;
        let (log, pid_file) = (folder.file(name::RUNTIME_LOG), folder.file(name::PID));
        let (runtime, id) = (self.driver.runtime(), self.driver.id());
        if self.record.exec {
            let process = folder.file(name::PROCESS);
            let how = Exec { log: Logging(&log), process: &process, pid_file: &pid_file, console };
            return Ok(runtime.exec(id, &how));
        }
        let create = Create {
            log: Logging(&log),
            bundle: self.bundle,
            pid_file: &pid_file,
            console,
            no_pivot: self.record.no_pivot_root,
        };
        if self.record.checkpoint.is_empty() {
            return Ok(runtime.create(id, &create));
        }
        checkpoint::command(self.driver, create, Path::new(&self.record.checkpoint))
    }

    /// The step's name as the runtime knows it.
    fn operation(&self) -> &'static str {
        match (self.record.exec, self.record.checkpoint.is_empty()) {
            (true, _) => "exec",
            (false, true) => "create",
            (false, false) => "restore",
        }
    }

    /// Waits for the runtime, and for the terminal while there is one to come. Reaps nobody else: the process
    /// may already have ended, and its pid is not known yet.
    fn wait(
        &self,
        mut child: Running,
        mut socket: Option<&mut ConsoleSocket>,
    ) -> Result<(ExitStatus, Option<OwnedFd>)> {
        let mut ended: Option<(ExitStatus, Instant)> = None;
        let mut master = None;
        loop {
            if ended.is_none() {
                let status = child.try_wait().map_err(Error::Wait)?;
                ended = status.map(|status| (status, Instant::now() + TERMINAL_LIMIT));
            }
            // After the look at the child: whatever it sent before it ended is found here.
            if let (None, Some(socket)) = (&master, socket.as_deref_mut()) {
                master = socket.receive(self.events).inspect_err(|_| give_up(&mut child))?;
            }
            match ended {
                Some((status, deadline))
                    if socket.is_none()
                        || master.is_some()
                        || !status.success()
                        || deadline <= Instant::now() =>
                {
                    failpoint::at("shim::runtime-ended");
                    let [began, _] = self.times.get();
                    self.times.set([began, now()]);
                    return Ok((status, master));
                }
                _ => self.events.wait(ended.map(|(_, deadline)| deadline))?,
            };
        }
    }

    /// Says why the runtime ended without success; `printed` looks for its words where its log has none.
    fn check(&self, status: ExitStatus, printed: impl FnOnce() -> Option<String>) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        let logged = gantry_record::log::first_error(&self.folder.here.file(name::RUNTIME_LOG));
        if logged.is_ok_and(|error| error.is_some()) {
            return Err(Error::RuntimeRefused);
        }
        let printed = match printed() {
            Some(text) if text.is_empty() => String::new(),
            Some(text) => format!("; it printed: {text}"),
            None => "; what it printed went to the process's standard error".to_owned(),
        };
        let (program, operation) = (self.driver.runtime().program.clone(), self.operation());
        Err(Error::RuntimeSilent { program, operation, status, printed })
    }

    /// Learns who the process is.
    fn meet(&self) -> Result<(Process, Kind)> {
        let pid = self.folder.here.pid()?.and_then(Pid::from_raw).ok_or_else(|| {
            let (program, operation) = (self.driver.runtime().program.clone(), self.operation());
            Error::NoPid { program, operation }
        })?;
        let process = Process::child(pid)?;
        let kind = Kind::of(self.record, &process);
        Ok((process, kind))
    }

    /// Undoes what the runtime has done before something failed.
    fn clean_up(&self) {
        failpoint::at("shim::clean-up");
        if !self.record.exec {
            self.driver.discard(self.bundle);
        } else if let Ok(Some(pid)) = self.folder.here.pid()
            && let Some(pid) = Pid::from_raw(pid)
            && reaper::check_child(pid).is_ok()
        {
            // A child that nobody has reaped: the number can't be another's.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

fn give_up(child: &mut Running) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The size that the process object asks for.
fn console_size(record: &ProcessRecord) -> Option<Size> {
    let size = record.process.get("consoleSize")?;
    let field = |name| size.get(name)?.as_u64().and_then(|value| u16::try_from(value).ok());
    let size = Size { width: field("width")?, height: field("height")? };
    (size.width > 0 && size.height > 0).then_some(size)
}

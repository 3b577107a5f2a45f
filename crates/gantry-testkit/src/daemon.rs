//! Throw-away daemons.

use crate::finish::wait_within;
use crate::notify::{NotReady, Readiness};
use crate::wait::patient;
use crate::{Binaries, Bundle, BundleBuilder, Failpoints, Finished, Runtime, Scratch, finish, runtime};
use gantry_record::failpoint;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How long a daemon may take to be ready, and to stop.
const DAEMON_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a start may take by the daemon's own default.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client's command may take unless a test says otherwise.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of the log is shown when a test fails.
const LOG_LINES_SHOWN: usize = 60;

/// How a daemon is started.
#[derive(Clone, Debug)]
pub struct DaemonOptions {
    runtime: Runtime,
    runtime_program: Option<String>,
    shim: Option<PathBuf>,
    start_timeout: Option<Duration>,
    failpoints: bool,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

/// A `gantryd` of this test alone, with its socket, state dir and runtime's records in one [`Scratch`].
#[derive(Debug)]
pub struct Daemon {
    scratch: Arc<Scratch>,
    binaries: Binaries,
    options: DaemonOptions,
    child: Option<Child>,
}

// === impl DaemonOptions ===

impl DaemonOptions {
    /// A daemon with this default runtime, and defaults for the rest.
    #[must_use]
    pub fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            runtime_program: None,
            shim: None,
            start_timeout: None,
            failpoints: false,
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Another program as the default runtime, by name or path.
    #[must_use]
    pub fn runtime_program(mut self, program: impl Into<String>) -> Self {
        self.runtime_program = Some(program.into());
        self
    }

    /// Another program as the shim.
    #[must_use]
    pub fn shim(mut self, program: impl Into<PathBuf>) -> Self {
        self.shim = Some(program.into());
        self
    }

    /// How long a start may take.
    #[must_use]
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = Some(timeout);
        self
    }

    /// Programs that have failpoints, which the scratch's [`Failpoints`] arm.
    #[must_use]
    pub fn failpoints(mut self) -> Self {
        self.failpoints = true;
        self
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// One more variable of the daemon's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

// === impl Daemon ===

impl Daemon {
    /// Starts a daemon in a scratch of its own and waits until it says that it is ready.
    ///
    /// # Panics
    /// With the end of its log, when it does not get ready.
    #[must_use]
    pub fn start(options: DaemonOptions) -> Self {
        Self::start_in(&Scratch::new(), options)
    }

    /// As [`Daemon::start`], in a scratch that may already hold a state dir.
    #[must_use]
    pub fn start_in(scratch: &Arc<Scratch>, options: DaemonOptions) -> Self {
        let binaries = if options.failpoints { Binaries::with_failpoints() } else { Binaries::locate() };
        let mut daemon = Self { scratch: Arc::clone(scratch), binaries, options, child: None };
        fs::create_dir_all(daemon.temporary_files()).expect("make a folder for temporary files");
        daemon.launch();
        daemon
    }

    /// The command that starts this daemon, or a second one like it.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.binaries.gantryd());
        if self.options.failpoints {
            command.env(failpoint::VARIABLE, Failpoints::of(&self.scratch).folder());
        }
        command.arg("--listen").arg(self.address());
        command.arg("--state-dir").arg(self.state_dir());
        command.arg("--shim").arg(self.options.shim.clone().unwrap_or_else(|| self.binaries.shim()));
        let args = match (&self.options.runtime_program, self.options.runtime) {
            (Some(program), _) => {
                command.arg("--runtime").arg(program);
                vec![runtime::root_flag(&self.scratch)]
            }
            // The built-in runtime is the default, found beside the daemon.
            (None, Runtime::BuiltIn) => vec![runtime::root_flag(&self.scratch)],
            (None, other) => {
                let other = other.command(&self.scratch);
                command.arg("--runtime").arg(other.program);
                other.args
            }
        };
        for arg in args {
            command.arg("--runtime-args").arg(arg);
        }
        // A slow machine needs more than the default.
        let usual = (patient(START_TIMEOUT) > START_TIMEOUT).then(|| patient(START_TIMEOUT));
        if let Some(timeout) = self.options.start_timeout.or(usual) {
            command.arg("--start-timeout").arg(format!("{}ms", timeout.as_millis()));
        }
        command.arg("--debug").args(&self.options.args);
        command.env("TMPDIR", self.temporary_files());
        command.envs(self.options.env.iter().map(|(name, value)| (name, value)));
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    /// Starts it again, after its death, and does not wait until it is ready.
    ///
    /// # Panics
    /// When it cannot be executed.
    pub fn restart_without_waiting(&mut self) {
        let mut command = self.command();
        self.child = Some(self.spawn(&mut command));
    }

    /// How it ended, if it has by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        Some(status)
    }

    fn spawn(&self, command: &mut Command) -> Child {
        let log = File::options().create(true).append(true).open(self.log_path()).expect("open the log");
        command.stdout(log.try_clone().expect("a second handle on the log")).stderr(log);
        command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"))
    }

    fn launch(&mut self) {
        let readiness = Readiness::in_folder(self.scratch.path());
        let mut command = self.command();
        command.env("NOTIFY_SOCKET", readiness.address());
        let child = self.spawn(&mut command);
        let ready = readiness.wait(&child, DAEMON_TIMEOUT);
        // Kept before a panic, so that it is ended.
        self.child = Some(child);
        match ready {
            Ok(()) => {}
            Err(NotReady::Ended) => panic!("{command:?} ended before it was ready"),
            Err(NotReady::TimedOut) => panic!("{command:?} was not ready within {DAEMON_TIMEOUT:?}"),
        }
    }

    /// Where it listens: `unix://` and a path.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The path of its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.scratch.path().join("gantryd.sock")
    }

    /// Its state dir.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        state_dir(&self.scratch)
    }

    /// Where its runtime keeps records.
    #[must_use]
    pub fn runtime_root(&self) -> PathBuf {
        runtime::root(&self.scratch)
    }

    /// `TMPDIR` of the daemon, its shims and runtimes.
    #[must_use]
    pub fn temporary_files(&self) -> PathBuf {
        temporary_files(&self.scratch)
    }

    /// Everything that belongs to this daemon.
    #[must_use]
    pub fn scratch(&self) -> &Arc<Scratch> {
        &self.scratch
    }

    /// The programs in use.
    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Starts a bundle in this daemon's scratch.
    #[must_use]
    pub fn bundle(&self) -> BundleBuilder {
        Bundle::busybox_in(&self.scratch)
    }

    /// A command of the client `gantry`; its arguments are still to be added.
    #[must_use]
    pub fn client(&self) -> Command {
        let mut command = Command::new(self.binaries.gantry());
        command.env_remove("GANTRY_ADDRESS").arg("--address").arg(self.address());
        command
    }

    /// Runs a command of the client to its end.
    #[must_use]
    pub fn gantry<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Finished {
        finish(self.client().args(args), CLIENT_TIMEOUT)
    }

    /// Its pid.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running daemon").id()
    }

    /// What its descriptors refer to, sorted.
    #[must_use]
    pub fn open_fds(&self) -> Vec<String> {
        let folder = PathBuf::from(format!("/proc/{}/fd", self.pid()));
        let entries = fs::read_dir(&folder).expect("list the daemon's descriptors");
        // A descriptor that is closed meanwhile has no target any more.
        let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let mut targets: Vec<String> = targets.map(|target| target.to_string_lossy().into_owned()).collect();
        targets.sort();
        targets
    }

    /// SIGKILL, as a crash would end it: no chance to tidy up.
    pub fn kill_hard(&mut self) {
        let mut child = self.child.take().expect("a running daemon");
        child.kill().expect("kill the daemon");
        child.wait().expect("reap the daemon");
    }

    /// SIGTERM, and waits until it has stopped.
    ///
    /// # Panics
    /// When it does not stop in time.
    pub fn terminate(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running daemon");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signal the daemon");
        let status = wait_within(&mut child, DAEMON_TIMEOUT);
        if status.is_none() {
            // Kept before the panic, so that it is ended.
            self.child = Some(child);
        }
        status.unwrap_or_else(|| panic!("the daemon did not stop within {DAEMON_TIMEOUT:?} of SIGTERM"))
    }

    /// Starts it again on the same state dir; one that still runs is stopped with SIGTERM first.
    pub fn restart(&mut self) {
        if self.child.is_some() {
            self.terminate();
        }
        self.launch();
    }

    /// As [`Daemon::restart`], with other options.
    pub fn restart_with(&mut self, options: DaemonOptions) {
        if self.child.is_some() {
            self.terminate();
        }
        self.options = options;
        self.launch();
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_for_death(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running daemon");
        let status = wait_within(&mut child, DAEMON_TIMEOUT);
        if status.is_none() {
            // Kept before the panic, so that it is ended.
            self.child = Some(child);
        }
        status.unwrap_or_else(|| panic!("the daemon still runs after {DAEMON_TIMEOUT:?}"))
    }

    /// What it has logged so far, all its lives together.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.scratch.path().join("gantryd.log")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Whether it could be killed or had ended, it is reaped; the rest is the scratch's.
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let shown = lines.len().saturating_sub(LOG_LINES_SHOWN);
            eprintln!("--- the daemon's log, last lines\n{}\n---", lines[shown..].join("\n"));
        }
    }
}

pub(crate) fn state_dir(scratch: &Scratch) -> PathBuf {
    scratch.path().join("state")
}

pub(crate) fn temporary_files(scratch: &Scratch) -> PathBuf {
    scratch.path().join("tmp")
}

/// Whether `path` is where a daemon's program would be.
pub(crate) fn is_daemon(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "gantryd")
}

/// Where the client keeps what it knows of the containers that it started: beside the socket.
pub(crate) fn client_files(scratch: &Scratch) -> PathBuf {
    scratch.path().join("bundles")
}

//! What one worker has: a daemon with failpoints, a container that nothing must ever happen to, and bundles to try things on.

use crate::support::{Api, KILLED, SIGKILL, SOON, exec_request, host_process};
use gantry_record::failpoint::VARIABLE;
use gantry_testkit::{
    Bundle, Daemon, DaemonOptions, Failpoints, Leaks, Process, Runtime, StdioFifos, finish, wait_until,
};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// What differs between daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    /// As it comes.
    Usual,
    /// A process outlives its shim.
    Adopt,
    /// The event log is kept short.
    ShortLog,
}

/// A kind of container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Payload {
    /// Waits for SIGTERM and then exits with [`ASKED`].
    Waits,
    /// The same with a terminal.
    WithTerminal,
    /// Does so in the pid namespace of the host, where a child of it lives on.
    SharesPids,
    /// There is no such program.
    Missing,
    /// Writes [`LINES`] lines and exits with [`ASKED`].
    Talks,
}

/// What a process exits with that was asked to: it is nobody else's status.
pub(super) const ASKED: u32 = 7;
pub(super) const SIGTERM: u32 = 15;
/// What a talking container writes.
pub(super) const LINES: usize = 60;

const WAITS: &str = "trap 'kill $child; exit 7' TERM; sleep 1000 & child=$!; wait";

pub(super) struct World {
    pub(super) daemon: Daemon,
    pub(super) points: Failpoints,
    pub(super) leaks: Leaks,
    pub(super) mode: Mode,
    bystander: Bundle,
    bystander_init: Process,
    bundles: BTreeMap<Payload, Bundle>,
    number: usize,
}

impl World {
    pub(super) fn new(runtime: Runtime, mode: Mode) -> Self {
        let options = DaemonOptions::new(runtime).failpoints();
        // Shims are forked with one runtime and executed with the other.
        let options = if runtime == Runtime::BuiltIn { options } else { options.arg("--shim-start=exec") };
        let options = match mode {
            Mode::Usual => options,
            Mode::Adopt => options.arg("--on-shim-death=adopt"),
            Mode::ShortLog => options.arg("--retain-count=8"),
        };
        let daemon = Daemon::start(options);
        let bystander = daemon.bundle().args(["sleep", "1000"]).build();
        let bystander_init = Api::connect(&daemon).run(&bystander);
        let points = Failpoints::of(daemon.scratch());
        let leaks = Leaks::snapshot(daemon.scratch());
        let (bundles, number) = (BTreeMap::new(), 0);
        Self { daemon, points, leaks, mode, bystander, bystander_init, bundles, number }
    }

    pub(super) fn api(&self) -> Api {
        Api::connect(&self.daemon)
    }

    /// The bundle of a payload; the same each time, so that its id is used again and again.
    pub(super) fn bundle(&mut self, payload: Payload) -> &Bundle {
        let daemon = &self.daemon;
        self.bundles.entry(payload).or_insert_with(|| {
            let bundle = daemon.bundle().shell(WAITS);
            match payload {
                Payload::Waits => bundle,
                Payload::WithTerminal => bundle.terminal(true),
                // Its child stays.
                Payload::SharesPids => {
                    bundle.shell("trap 'exit 7' TERM; sleep 1000 & wait").without_namespace("pid")
                }
                Payload::Missing => bundle.args(["/no/such/program"]),
                Payload::Talks => bundle.shell(&format!(
                    "i=0; while test $i -lt {LINES}; do echo line $i; i=$((i + 1)); done; exit {ASKED}"
                )),
            }
            .build()
        })
    }

    /// FIFOs that nobody has used yet.
    pub(super) fn fifos(&mut self) -> StdioFifos {
        self.number += 1;
        let folder = self.daemon.scratch().path().to_owned();
        StdioFifos::create(&folder, &format!("stdio-{}", self.number))
    }

    /// A log target that nobody has used yet, with files so small that there are many.
    pub(super) fn log_target(&mut self) -> (std::path::PathBuf, String) {
        self.number += 1;
        let folder = self.daemon.scratch().path().join(format!("log-{}", self.number));
        fs::create_dir(&folder).unwrap();
        let target = format!("gantry-log://{}?max-bytes=400&max-files=100", folder.join("out").display());
        (folder, target)
    }

    /// The container that nothing must happen to still runs, is listed, and works.
    pub(super) fn assert_bystander_is_undisturbed(&self, api: &Api) {
        assert!(self.bystander_init.is_alive(), "the bystander has ended");
        let id = self.bystander.id();
        assert_eq!(api.find(id).map(|(status, _)| status).as_deref(), Some("running"), "the bystander");
        let mut events = api.events();
        api.add_process(exec_request(id, "look", &["sh", "-c", "exit 4"])).expect("an exec in the bystander");
        assert_eq!(events.exit_of(id, "look"), 4);
    }

    /// Runs the built-in runtime's `delete --force`, as a person would.
    pub(super) fn delete_by_hand(&self, id: &str) {
        let mut delete = Command::new(self.daemon.binaries().runtime());
        delete
            .arg(format!("--root={}", self.daemon.runtime_root().display()))
            .args(["delete", "--force", id]);
        // It is killed, most often.
        let _ = finish(delete.env(VARIABLE, self.points.folder()), SOON);
    }

    pub(super) fn bystander_pid(&self) -> i32 {
        self.bystander_init.pid
    }

    /// Ends the bystander; nothing at all may be left then.
    pub(super) fn close(self) {
        let api = self.api();
        let mut events = api.events();
        api.signal(self.bystander.id(), "init", SIGKILL).unwrap();
        assert_eq!(events.exit_of(self.bystander.id(), "init"), KILLED);
        self.leaks.assert_clean();
    }
}

/// The request for an exec that waits as [`Payload::Waits`] does.
pub(super) fn waiting_exec(container: &str, process: &str) -> gantry_api::types::AddProcessRequest {
    exec_request(container, process, &["sh", "-c", WAITS])
}

/// Waits until a process would do on SIGTERM what it is there for.
pub(super) fn wait_until_it_listens(pid: u32) -> Process {
    let process = host_process(pid);
    wait_until("a handler of SIGTERM", SOON, || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        // A runtime catches signals as well, until it has become the shell.
        let caught = u64::from_str_radix(field("SigCgt:"), 16).unwrap_or_default();
        field("Name:") == "sh" && caught & (1 << (SIGTERM - 1)) != 0
    });
    process
}

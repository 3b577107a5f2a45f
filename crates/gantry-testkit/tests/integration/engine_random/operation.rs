//! What can be done to one container, and doing it.

use super::model::Slot;
use crate::support::Random;
use crate::support::{Api, SIGKILL, create_request, exec_request};
use gantry_api::types::{CreateContainerRequest, UpdateResource};
use gantry_testkit::{Bundle, Daemon, Process, Runtime};
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use tonic::Status;

pub(super) const SIGUSR1: u32 = 10;
pub(super) const SIGTERM: u32 = 15;

/// One operation; the ones that must fail included.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operation {
    Create,
    /// Of an id in use.
    CreateAgain,
    /// A process that stays.
    Exec(String),
    /// A process that ends at once with a status.
    ExecShort(String, u32),
    /// With an id in use.
    ExecAgain(String),
    /// In a container that is paused.
    ExecPaused,
    /// In a container that is not there.
    ExecNowhere,
    SignalInit(u32),
    SignalExec(String, u32),
    /// To a process that is not there.
    SignalNobody,
    Pause,
    Resume,
    /// Of a container that is not paused.
    ResumeRunning,
    /// Killed while frozen, and thawed.
    KillPaused,
    Update(Box<UpdateResource>),
    KillShimOfInit,
    KillShimOfExec(String),
}

/// What a client was told.
pub(super) type Answer = Result<Done, Status>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// With this pid on the host.
    Started(u32),
    /// Without more to say.
    Accepted,
    /// Both the kill and the thaw that follows it.
    Thawed,
}

impl Operation {
    /// Its kind, for the summary.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::CreateAgain => "create an id in use",
            Self::Exec(_) => "exec",
            Self::ExecShort(..) => "exec that ends at once",
            Self::ExecAgain(_) => "exec an id in use",
            Self::ExecPaused => "exec where paused",
            Self::ExecNowhere => "exec where nothing is",
            Self::SignalInit(_) => "signal init",
            Self::SignalExec(..) => "signal exec",
            Self::SignalNobody => "signal nobody",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::ResumeRunning => "resume what runs",
            Self::KillPaused => "kill where paused",
            Self::Update(_) => "update",
            Self::KillShimOfInit => "kill init's shim",
            Self::KillShimOfExec(_) => "kill an exec's shim",
        }
    }

    /// One that makes sense for the container as it is, or one that must be refused as it is.
    pub(super) fn choose(random: &mut Random, slot: &mut Slot) -> Self {
        let Some(running) = &slot.running else {
            return match random.below(20) {
                0 => Self::ExecNowhere,
                1 => Self::SignalNobody,
                _ => Self::Create,
            };
        };
        let execs: Vec<String> = running.execs.keys().cloned().collect();
        let shim = |random: &mut Random| match execs.len() {
            0 => Self::KillShimOfInit,
            _ if random.chance(50) => Self::KillShimOfInit,
            _ => Self::KillShimOfExec(random.choose(&execs)),
        };
        if running.paused {
            return match random.below(20) {
                0 => Self::ExecPaused,
                1..=2 => Self::KillPaused,
                3..=4 => Self::Update(random_limits(random)),
                // A frozen exec dies only when it is thawed; engine_shim_death has that.
                5 => Self::KillShimOfInit,
                6 => Self::SignalNobody,
                _ => Self::Resume,
            };
        }
        match random.below(40) {
            0 => Self::CreateAgain,
            1 => Self::SignalNobody,
            2 => Self::ResumeRunning,
            3..=5 => Self::Update(random_limits(random)),
            6..=9 => Self::Pause,
            10..=13 => Self::SignalInit(random.choose(&[SIGTERM, SIGUSR1, SIGKILL, SIGKILL])),
            14..=15 => shim(random),
            16..=20 => Self::ExecShort(slot.next_exec(), u32::try_from(random.below(256)).unwrap()),
            21 if !execs.is_empty() => Self::ExecAgain(random.choose(&execs)),
            22..=30 if !execs.is_empty() => {
                Self::SignalExec(random.choose(&execs), random.choose(&[SIGTERM, SIGUSR1, SIGKILL]))
            }
            _ if execs.len() < 4 => Self::Exec(slot.next_exec()),
            _ => Self::SignalExec(random.choose(&execs), SIGTERM),
        }
    }
}

fn random_limits(random: &mut Random) -> Box<UpdateResource> {
    let number = u64::try_from(random.below(1000)).unwrap();
    let unchanged = UpdateResource::default();
    let limits = match random.below(4) {
        0 => UpdateResource { memory_limit: (64 << 20) + (number << 12), ..unchanged },
        1 => UpdateResource { cpu_shares: 100 + number, ..unchanged },
        2 => UpdateResource { cpu_quota: 50_000 + number, cpu_period: 100_000, ..unchanged },
        _ => UpdateResource { pids_limit: 50 + number, ..unchanged },
    };
    Box::new(limits)
}

/// What an operation needs to know of its container.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) id: String,
    pub(super) create: CreateContainerRequest,
    /// The folder of the process in question.
    pub(super) folder: PathBuf,
}

/// The request that makes a container of a bundle, with its output in a file.
pub(super) fn request(bundle: &Bundle, daemon: &Daemon, runtime: Runtime) -> CreateContainerRequest {
    let stdout = bundle.path().join("output").to_str().unwrap().to_owned();
    let runtime = runtime.command(daemon.scratch());
    CreateContainerRequest {
        stdout,
        runtime: runtime.program,
        runtime_args: runtime.args,
        ..create_request(bundle)
    }
}

/// Kills the shim whose working directory is `folder`; one that was killed before may have no successor yet.
pub(super) fn kill_shim(folder: &Path) {
    let stands_here = |pid: i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder);
    for entry in fs::read_dir("/proc").unwrap() {
        let pid = entry.unwrap().file_name().to_str().and_then(|pid| pid.parse().ok());
        if let Some(shim) = pid.and_then(Process::of)
            && shim.command.contains("gantry-shim")
            && stands_here(shim.pid)
        {
            shim.signal(Signal::KILL);
        }
    }
}

/// Does it, as one client among others.
pub(super) fn perform(api: &Api, operation: &Operation, target: Target) -> Answer {
    let Target { id, create, folder } = target;
    let started = |pid| Done::Started(pid);
    let add = |process: &str, args: &[&str]| api.add_process(exec_request(&id, process, args)).map(started);
    let done = |result: Result<(), Status>| result.map(|()| Done::Accepted);
    if *operation == Operation::Create {
        fs::write(&create.stdout, "").unwrap();
    }
    match operation {
        Operation::Create | Operation::CreateAgain => {
            api.create(create).map(|container| Done::Started(container.processes[0].system_pid))
        }
        Operation::Exec(process) | Operation::ExecAgain(process) => add(process, &["sleep", "100000"]),
        Operation::ExecShort(process, status) => add(process, &["sh", "-c", &format!("exit {status}")]),
        Operation::ExecPaused | Operation::ExecNowhere => add("impossible", &["true"]),
        Operation::SignalInit(signal) => done(api.signal(&id, "init", *signal)),
        Operation::SignalExec(process, signal) => done(api.signal(&id, process, *signal)),
        Operation::SignalNobody => done(api.signal(&id, "nobody", SIGKILL)),
        Operation::Pause => done(api.set_paused(&id, true)),
        Operation::Resume | Operation::ResumeRunning => done(api.set_paused(&id, false)),
        Operation::KillPaused => {
            api.signal(&id, "init", SIGKILL)?;
            // With cgroup v2 the kernel lets a frozen process die; then there may be nothing left to thaw.
            Ok(api.set_paused(&id, false).map_or(Done::Accepted, |()| Done::Thawed))
        }
        Operation::Update(limits) => done(api.update(&id, (**limits).clone())),
        Operation::KillShimOfInit | Operation::KillShimOfExec(_) => {
            kill_shim(&folder);
            Ok(Done::Accepted)
        }
    }
}

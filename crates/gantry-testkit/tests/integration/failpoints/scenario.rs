//! What is being done when a point is reached.

use super::world::{ASKED, LINES, Mode, Payload, SIGTERM, World, wait_until_it_listens, waiting_exec};
use crate::support::{Api, KILLED, SOON, create_request, exec_request, shim_of};
use gantry_api::types::{CreateContainerRequest, UpdateProcessRequest, UpdateResource};
use gantry_testkit::Process;
use rustix::process::Signal;
use std::path::{Path, PathBuf};

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scenario {
    /// A container is started.
    Start,
    /// One with a terminal is started.
    StartTerminal,
    /// A process is added to one.
    Exec,
    /// The init of one is asked to end.
    Exit,
    /// The same, where the shim has to kill the rest.
    ExitOfMany,
    /// An exec is asked to end.
    ExecExit,
    /// A container is started whose program is not there.
    FailedStart,
    /// A process is added whose program is not there.
    FailedExec,
    /// A container is started, and its runtime is killed half-way.
    HalfCreated,
    /// A container is paused.
    Pause,
    /// And thawed.
    Resume,
    /// Its limits are changed.
    Update,
    /// Its standard input is closed.
    CloseStdin,
    /// What it writes is logged, in many small files.
    Logging,
    /// The shim of an init is killed.
    ShimDeath,
    /// The shim of an exec is killed.
    ExecShimDeath,
    /// The shim of an init is killed, and another one comes.
    AdoptedInit,
    /// The shim of an exec is killed, and another one comes.
    AdoptedExec,
    /// An init is asked to end, and another shim finishes what one that dies leaves.
    AdoptedExit,
    /// The same with an exec.
    AdoptedExecExit,
    /// Somebody has the runtime delete a container that runs.
    ForcedAway,
    /// A container's shims are replaced.
    Upgrade,
    /// The event log becomes so long that it is written anew.
    LongLog,
    /// A daemon starts while containers run.
    Restart,
    /// One starts where an init's start was interrupted.
    RestartHalfStarted,
    /// One starts where an exec's start was interrupted.
    RestartHalfExec,
    /// One starts where an exit was not told.
    RestartUntold,
    /// One starts after processes have ended.
    RestartEnded,
    /// An init ends while there is no daemon and no room on the disk.
    ExitUntold,
}

/// What a client has seen of it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The container.
    pub(super) id: String,
    /// What the request was answered, if there was one that can fail.
    pub(super) answer: Option<Result<(), String>>,
    /// The process that ends, and its status if nothing else kills it. It does not where asking for it has failed.
    pub(super) ends: Option<(&'static str, u32)>,
    /// Whether it is about an exec, `e1`.
    pub(super) exec: bool,
    /// Where its log is.
    pub(super) log: Option<PathBuf>,
}

use Scenario::*;

impl Scenario {
    /// The daemon that it needs.
    pub(super) fn mode(self) -> Mode {
        match self {
            Logging | AdoptedInit | AdoptedExec | AdoptedExit | AdoptedExecExit => Mode::Adopt,
            LongLog => Mode::ShortLog,
            _ => Mode::Usual,
        }
    }

    /// Whether it is nothing but a start or an end.
    pub(super) fn is_plain(self) -> bool {
        matches!(self, Start | Exec | Exit | ExecExit)
    }

    /// Whether the point is reached by a daemon, or what it makes, that is just starting.
    pub(super) fn restarts(self) -> bool {
        matches!(self, Restart | RestartHalfStarted | RestartHalfExec | RestartUntold | RestartEnded)
    }

    /// Comes to the point. `arm` arms it; before that everything works.
    pub(super) fn play(self, world: &mut World, arm: &dyn Fn(&World)) -> Seen {
        match self {
            Start => self.start(world, arm, Payload::Waits),
            FailedStart => self.start(world, arm, Payload::Missing),
            HalfCreated => {
                world.points.arm("runtime::create::launched", "kill");
                self.start(world, arm, Payload::Waits)
            }
            StartTerminal => {
                let fifos = world.fifos();
                let bundle = world.bundle(Payload::WithTerminal);
                let (id, stdout) = (bundle.id().to_owned(), fifos.stdout.text());
                let request =
                    CreateContainerRequest { stdin: fifos.stdin.text(), stdout, ..create_request(bundle) };
                arm(world);
                let answer = world.api().create(request);
                Seen { id, answer: Some(told(answer)), ..Seen::default() }
            }
            Logging => {
                let (folder, stdout) = world.log_target();
                let bundle = world.bundle(Payload::Talks);
                let id = bundle.id().to_owned();
                let request = CreateContainerRequest { stdout, ..create_request(bundle) };
                arm(world);
                let answer = Some(told(world.api().create(request)));
                Seen { id, answer, ends: Some(("init", ASKED)), log: Some(folder), exec: false }
            }
            Exec => {
                let (api, id, _) = running(world);
                arm(world);
                let answer = Some(told(api.add_process(waiting_exec(&id, "e1"))));
                Seen { id, answer, exec: true, ..Seen::default() }
            }
            FailedExec => {
                let (api, id, _) = running(world);
                arm(world);
                let answer = Some(told(api.add_process(exec_request(&id, "e1", &["/no/such/program"]))));
                Seen { id, answer, exec: true, ..Seen::default() }
            }
            Exit | AdoptedExit => ask_to_end(world, arm, Payload::Waits),
            ExitOfMany => ask_to_end(world, arm, Payload::SharesPids),
            ExecExit | AdoptedExecExit => {
                let (api, id, _) = running(world);
                wait_until_it_listens(api.add_process(waiting_exec(&id, "e1")).unwrap());
                arm(world);
                let answer = Some(told(api.signal(&id, "e1", SIGTERM)));
                Seen { id, answer, ends: Some(("e1", ASKED)), exec: true, ..Seen::default() }
            }
            Pause | Resume => {
                let (api, id, _) = running(world);
                if self == Resume {
                    api.set_paused(&id, true).unwrap();
                }
                arm(world);
                let answer = Some(told(api.set_paused(&id, self == Pause)));
                Seen { id, answer, ..Seen::default() }
            }
            Update => {
                let (api, id, _) = running(world);
                arm(world);
                let limits = UpdateResource { memory_limit: 128 << 20, ..UpdateResource::default() };
                Seen { answer: Some(told(api.update(&id, limits))), id, ..Seen::default() }
            }
            CloseStdin => {
                let fifos = world.fifos();
                let api = world.api();
                let bundle = world.bundle(Payload::Waits);
                let id = bundle.id().to_owned();
                let request = CreateContainerRequest { stdin: fifos.stdin.text(), ..create_request(bundle) };
                api.create(request).unwrap();
                arm(world);
                let (container, pid) = (id.clone(), "init".to_owned());
                let request =
                    UpdateProcessRequest { id: container, pid, close_stdin: true, width: 0, height: 0 };
                Seen { id, answer: Some(told(api.update_process(request))), ..Seen::default() }
            }
            ShimDeath | ExecShimDeath | AdoptedInit | AdoptedExec => {
                let (api, id, init) = running(world);
                let exec = wait_until_it_listens(api.add_process(waiting_exec(&id, "e1")).unwrap());
                let shim = shim_of(if matches!(self, ShimDeath | AdoptedInit) { &init } else { &exec });
                arm(world);
                shim.signal(Signal::KILL);
                let ends = match self {
                    ShimDeath => Some(("init", KILLED)),
                    ExecShimDeath => Some(("e1", KILLED)),
                    _ => None,
                };
                Seen { id, ends, exec: true, ..Seen::default() }
            }
            ForcedAway => {
                let (_, id, _) = running(world);
                arm(world);
                world.delete_by_hand(&id);
                Seen { id, ends: Some(("init", KILLED)), ..Seen::default() }
            }
            Upgrade => {
                let (api, id, _) = running(world);
                arm(world);
                let answer = Some(told(api.upgrade_shims(&id)));
                Seen { id, answer, ..Seen::default() }
            }
            LongLog => {
                let (api, id, _) = running(world);
                arm(world);
                let mut answer = Ok(());
                for number in 0..16 {
                    if answer.is_ok() {
                        answer = told(api.add_process(exec_request(&id, &format!("n{number}"), &["true"])));
                    }
                }
                Seen { id, answer: Some(answer), ..Seen::default() }
            }
            Restart | RestartHalfStarted | RestartHalfExec | RestartUntold | RestartEnded => {
                let seen = self.interrupt(world);
                arm(world);
                world.daemon.restart_without_waiting();
                seen
            }
            ExitUntold => {
                let (_, id, init) = running(world);
                world.daemon.kill_hard();
                world.points.arm("shim::record::exitStatus::open", "error ENOSPC always");
                arm(world);
                init.signal(Signal::TERM);
                Seen { id, ends: Some(("init", ASKED)), ..Seen::default() }
            }
        }
    }

    fn start(self, world: &mut World, arm: &dyn Fn(&World), payload: Payload) -> Seen {
        let request = create_request(world.bundle(payload));
        let id = request.id.clone();
        arm(world);
        Seen { id, answer: Some(told(world.api().create(request))), ..Seen::default() }
    }

    /// Leaves something for the next daemon.
    fn interrupt(self, world: &mut World) -> Seen {
        if self == RestartHalfStarted {
            world.points.arm("daemon::init::running", "kill");
            let seen = self.start(world, &|_| (), Payload::Waits);
            world.daemon.wait_for_death();
            return Seen { answer: None, ..seen };
        }
        let (api, id, init) = running(world);
        let mut seen = Seen { id: id.clone(), ..Seen::default() };
        match self {
            RestartHalfExec => {
                world.points.arm("daemon::exec::running", "kill");
                api.add_process(waiting_exec(&id, "e1")).unwrap_err();
                world.daemon.wait_for_death();
                seen.exec = true;
            }
            RestartUntold => {
                world.points.arm("daemon::init::buried", "kill");
                let _ = api.signal(&id, "init", SIGTERM);
                world.daemon.wait_for_death();
                seen.ends = Some(("init", ASKED));
            }
            RestartEnded => {
                wait_until_it_listens(api.add_process(waiting_exec(&id, "e1")).unwrap());
                world.daemon.kill_hard();
                init.signal(Signal::TERM);
                assert!(init.ends_within(SOON));
                seen.ends = Some(("init", ASKED));
            }
            _ => {
                api.add_process(waiting_exec(&id, "e1")).unwrap();
                world.daemon.kill_hard();
            }
        }
        seen
    }
}

fn told<T>(answer: Result<T, tonic::Status>) -> Result<(), String> {
    answer.map(drop).map_err(|status| status.message().to_owned())
}

/// A container that runs and listens.
fn running(world: &mut World) -> (Api, String, Process) {
    start_of(world, Payload::Waits)
}

fn start_of(world: &mut World, payload: Payload) -> (Api, String, Process) {
    let api = world.api();
    let bundle = world.bundle(payload);
    let id = bundle.id().to_owned();
    let init = api.run(bundle);
    wait_until_it_listens(u32::try_from(init.pid).unwrap());
    (api, id, init)
}

fn ask_to_end(world: &mut World, arm: &dyn Fn(&World), payload: Payload) -> Seen {
    let (api, id, _) = start_of(world, payload);
    arm(world);
    let answer = Some(told(api.signal(&id, "init", SIGTERM)));
    Seen { id, answer, ends: Some(("init", ASKED)), ..Seen::default() }
}

/// Insists that a log has every line once and in its order, in however many files; or the first of them, if its writer was
/// killed.
pub(super) fn assert_log_is_whole(folder: &Path, status: u32) {
    let mut files: Vec<(u32, PathBuf)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.extension().map_or(0, |n| n.to_str().unwrap().parse().unwrap()), path))
        .collect();
    // The highest number is the oldest.
    files.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    let text: String = files.iter().map(|(_, path)| std::fs::read_to_string(path).unwrap()).collect();
    let mut next: usize = 0;
    for line in text.lines() {
        let what = line.splitn(4, ' ').nth(3).unwrap_or_else(|| panic!("{line:?}"));
        match what.strip_prefix("gantry: ").and_then(|note| note.split_once(" lines of output were dropped"))
        {
            Some((dropped, _)) => next += dropped.parse::<usize>().unwrap(),
            None => {
                assert_eq!(what, format!("line {next}"), "in {}:\n{text}", folder.display());
                next += 1;
            }
        }
    }
    assert!(status != ASKED || next == LINES, "only {next} of {LINES} lines:\n{text}");
}

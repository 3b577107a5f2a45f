//! What is done to the daemon, its shims, runtimes, containers and its disk.

use super::counts::Counts;
use super::ledger::{KILLED, Ledger, Wrong};
use super::targets::{RuntimeTarget, Target, Targets};
use super::world::World;
use crate::{Process, Random};
use gantry_api::client;
use gantry_api::types::EventsRequest;
use gantry_api::types::api_client::ApiClient;
use rustix::process::Signal;
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How long a runtime is waited for.
const RUNTIME_PATIENCE: Duration = Duration::from_millis(500);
/// Connections that say nothing.
const HALF_OPEN: usize = 150;

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    DaemonKill,
    DaemonTerm,
    DaemonStop,
    ShimKill,
    ShimStop,
    RuntimeKill,
    PayloadKill,
    FullDisk,
    /// Done by the clients themselves.
    Disconnect,
    SilentSubscriber,
    HalfOpen,
}

/// Does one after the other; some go on in threads of their own.
pub(super) struct Injector {
    faults: Vec<Fault>,
    random: Random,
    world: Arc<World>,
    ledger: Arc<Ledger>,
    counts: Arc<Counts>,
    runtime: Handle,
    running: Vec<JoinHandle<()>>,
}

impl Fault {
    pub(super) const ALL: [Self; 11] = [
        Self::DaemonKill,
        Self::DaemonTerm,
        Self::DaemonStop,
        Self::ShimKill,
        Self::ShimStop,
        Self::RuntimeKill,
        Self::PayloadKill,
        Self::FullDisk,
        Self::Disconnect,
        Self::SilentSubscriber,
        Self::HalfOpen,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DaemonKill => "daemon-kill",
            Self::DaemonTerm => "daemon-term",
            Self::DaemonStop => "daemon-stop",
            Self::ShimKill => "shim-kill",
            Self::ShimStop => "shim-stop",
            Self::RuntimeKill => "runtime-kill",
            Self::PayloadKill => "payload-kill",
            Self::FullDisk => "full-disk",
            Self::Disconnect => "disconnect",
            Self::SilentSubscriber => "silent-subscriber",
            Self::HalfOpen => "half-open",
        }
    }

    pub(super) fn named(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|fault| fault.name() == name).ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.into_iter().map(Self::name).collect();
            format!("--faults: there is no fault {name:?}; there are all, none, and: {}", all.join(", "))
        })
    }
}

// === impl Injector ===

impl Injector {
    pub(super) fn new(
        faults: Vec<Fault>,
        seed: u64,
        world: &Arc<World>,
        ledger: &Arc<Ledger>,
        counts: &Arc<Counts>,
        runtime: Handle,
    ) -> Self {
        Self {
            // Clients hang up by themselves.
            faults: faults.into_iter().filter(|fault| *fault != Fault::Disconnect).collect(),
            random: Random::new(seed.wrapping_mul(1_000).wrapping_add(999)),
            world: Arc::clone(world),
            ledger: Arc::clone(ledger),
            counts: Arc::clone(counts),
            runtime,
            running: Vec::new(),
        }
    }

    /// Until the world stops; the daemon runs afterwards, and no fault goes on.
    pub(super) fn run(mut self) {
        while !self.world.stopped() {
            self.sleep(100, 800);
            self.look_after_the_daemon();
            let Some(fault) = self.choose() else { continue };
            // A daemon that does not stop is a panic of its handle.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.inject(fault))) {
                let text = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".to_owned());
                self.ledger.problem(Wrong::Panic, None, format!("{}: {text}", fault.name()));
                self.revive();
            }
            self.running.retain(|thread| !thread.is_finished());
        }
        for thread in self.running.drain(..) {
            let _ = thread.join();
        }
        self.look_after_the_daemon();
    }

    fn choose(&mut self) -> Option<Fault> {
        if self.faults.is_empty() { None } else { Some(self.random.choose(&self.faults)) }
    }

    fn millis(&mut self, from: usize, to: usize) -> Duration {
        Duration::from_millis((from + self.random.below(to - from)) as u64)
    }

    fn sleep(&mut self, from: usize, to: usize) {
        thread::sleep(self.millis(from, to));
    }

    fn look_after_the_daemon(&mut self) {
        let ended = self.world.daemon().ended();
        if let Some(status) = ended {
            self.ledger.problem(Wrong::Panic, None, format!("the daemon ended by itself: {status}"));
            self.revive();
        }
    }

    fn revive(&mut self) {
        match self.world.revive(&mut self.world.daemon()) {
            Ok(0) => {}
            // Its own words are in its log; with a full disk it may refuse to start.
            Ok(_) if self.running.iter().any(|thread| !thread.is_finished()) => {
                self.counts.errors.add("the daemon did not start with a fault going on");
            }
            Ok(times) => {
                self.ledger.problem(
                    Wrong::Panic,
                    None,
                    format!("the daemon ended {times} times while it started"),
                );
            }
            Err(error) => self.ledger.problem(Wrong::Panic, None, error),
        }
    }

    fn inject(&mut self, fault: Fault) {
        let counts = Arc::clone(&self.counts);
        match fault {
            Fault::DaemonKill => {
                let _fault = counts.disturb(fault.name());
                self.world.daemon().kill_hard();
                if self.random.chance(50) {
                    self.sleep(0, 2000);
                }
                self.revive();
            }
            Fault::DaemonTerm => {
                let _fault = counts.disturb(fault.name());
                self.world.daemon().terminate();
                self.revive();
            }
            Fault::DaemonStop => {
                let _fault = counts.disturb(fault.name());
                let daemon = Process::of(i32::try_from(self.world.daemon().pid()).unwrap_or(0));
                let Some(daemon) = daemon else { return };
                daemon.signal(Signal::STOP);
                self.sleep(100, 2000);
                daemon.signal(Signal::CONT);
            }
            Fault::ShimKill => self.kill_shim(),
            Fault::ShimStop => self.stop_shim(),
            Fault::RuntimeKill => self.kill_runtime(),
            Fault::PayloadKill => self.kill_payload(),
            Fault::FullDisk => self.fill_disk(),
            Fault::Disconnect => {}
            Fault::SilentSubscriber => self.subscribe(),
            Fault::HalfOpen => self.half_open(),
        }
    }

    fn targets(&self) -> Targets {
        Targets::new(&self.world.scratch, &self.world.state_dir)
    }

    fn shim(&mut self) -> Option<Target> {
        let shims = self.targets().shims();
        if shims.is_empty() { None } else { Some(self.random.choose(&shims)) }
    }

    fn kill_shim(&mut self) {
        let Some(Target { process, container, name }) = self.shim() else { return };
        let _fault = self.counts.disturb(Fault::ShimKill.name());
        self.ledger.harm(&container, &format!("the shim {} of {name} is killed", process.pid));
        self.ledger.shim_killed(&container, &name);
        process.signal(Signal::KILL);
    }

    fn stop_shim(&mut self) {
        let Some(Target { process, container, name }) = self.shim() else { return };
        let counts = Arc::clone(&self.counts);
        let length = self.millis(100, 2000);
        self.ledger
            .harm(&container, &format!("the shim {} of {name} is stopped for {length:?}", process.pid));
        self.spawn(move || {
            let _fault = counts.disturb(Fault::ShimStop.name());
            process.signal(Signal::STOP);
            thread::sleep(length);
            process.signal(Signal::CONT);
        });
    }

    fn kill_runtime(&mut self) {
        let (targets, began) = (self.targets(), Instant::now());
        while began.elapsed() < RUNTIME_PATIENCE {
            let runtimes = targets.runtimes();
            if runtimes.is_empty() {
                // Nobody announces a runtime.
                thread::sleep(Duration::from_millis(2));
                continue;
            }
            let RuntimeTarget { target, subcommand, is_payload } = self.random.choose(&runtimes);
            let Target { process, container, name } = target;
            let counts = Arc::clone(&self.counts);
            let _fault = counts.disturb(&format!("{} {subcommand}", Fault::RuntimeKill.name()));
            self.ledger
                .harm(&container, &format!("the runtime {} is killed in {}", process.pid, process.command));
            if is_payload {
                self.ledger.may_end(&container, &name, KILLED, "it is killed before it runs");
            }
            self.sleep(0, 15);
            process.signal(Signal::KILL);
            return;
        }
    }

    fn kill_payload(&mut self) {
        let payloads = self.targets().payloads();
        if payloads.is_empty() {
            return;
        }
        let Target { process, container, name } = self.random.choose(&payloads);
        let _fault = self.counts.disturb(Fault::PayloadKill.name());
        self.ledger.harm(&container, &format!("the process {} of {name} is killed", process.pid));
        self.ledger.may_end(&container, &name, KILLED, "it is killed");
        process.signal(Signal::KILL);
    }

    fn fill_disk(&mut self) {
        if self.world.state_dir.join(BALLAST).exists() {
            return;
        }
        let (counts, state_dir, length) =
            (Arc::clone(&self.counts), self.world.state_dir.clone(), self.millis(200, 3000));
        self.spawn(move || {
            let _fault = counts.disturb(Fault::FullDisk.name());
            if let Err(error) = fill(&state_dir) {
                eprintln!("stress: cannot fill the disk: {error}");
            }
            thread::sleep(length);
            let _ = fs::remove_file(state_dir.join(BALLAST));
        });
    }

    fn subscribe(&mut self) {
        self.counts.faults.add(Fault::SilentSubscriber.name());
        let (address, length) = (self.world.address.clone(), self.millis(2000, 15_000));
        self.runtime.spawn(async move {
            let Ok(channel) = client::connect(&address).await else { return };
            let since = EventsRequest { timestamp: Some(Default::default()), ..Default::default() };
            let stream = ApiClient::new(channel).events(since).await;
            tokio::time::sleep(length).await;
            drop(stream);
        });
    }

    fn half_open(&mut self) {
        let (counts, socket, length) =
            (Arc::clone(&self.counts), self.world.socket.clone(), self.millis(500, 3000));
        self.spawn(move || {
            let _fault = counts.disturb(Fault::HalfOpen.name());
            let open: Vec<UnixStream> =
                (0..HALF_OPEN).filter_map(|_| UnixStream::connect(&socket).ok()).collect();
            thread::sleep(length);
            drop(open);
        });
    }

    fn spawn(&mut self, fault: impl FnOnce() + Send + 'static) {
        self.running.push(thread::spawn(fault));
    }
}

/// What fills the disk: no name that the daemon would take for a container's.
const BALLAST: &str = "@ballast";

fn fill(state_dir: &Path) -> std::io::Result<()> {
    let mut file = fs::File::create(state_dir.join(BALLAST))?;
    for block in [vec![0; 1 << 20], vec![0; 4096]] {
        while file.write_all(&block).is_ok() {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_found_by_their_names() {
        for fault in Fault::ALL {
            assert_eq!(Fault::named(fault.name()), Ok(fault));
        }
        assert!(Fault::named("rain").unwrap_err().contains("full-disk"));
    }
}

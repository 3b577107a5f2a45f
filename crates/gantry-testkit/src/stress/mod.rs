//! `gantry-testkit stress`: random operations and faults for as long as one likes, and a strict account of them.
//!
//! [`ledger`] knows what may come of each process and compares each event with it; [`clients`] ask, [`faults`] harm,
//! [`auditor`] looks for what is left. The seed decides what is done; when it meets what, the machine decides.

mod auditor;
mod calls;
mod clients;
mod counts;
mod faults;
mod ledger;
mod operations;
mod options;
mod payload;
mod reader;
mod report;
mod targets;
mod world;

use crate::{Binaries, Leaks};
use auditor::{Use, audit};
use calls::{Outcome, Session};
use clap::Parser;
use clients::Client;
use counts::Counts;
use faults::{Fault, Injector};
use gantry_api::types::{SignalRequest, StateRequest, UpdateContainerRequest};
use ledger::{Ledger, Wrong};
use options::{Cli, Command, Options};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;
use world::World;

/// How often the state of things is printed.
const PROGRESS: Duration = Duration::from_secs(10);
/// How long clients work before the daemon's use of memory is looked at, without faults.
const WARM_UP: Duration = Duration::from_secs(3);
/// How long everything may take to end.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);
/// A daemon that has nothing to do gives back what it does not need.
const QUIET: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(100);

/// The command; its exit code is 0 only when nothing was wrong.
#[must_use]
pub fn main() -> ExitCode {
    let Command::Stress(options) = Cli::parse().command;
    match stress(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("gantry-testkit: {error}");
            ExitCode::from(2)
        }
    }
}

fn stress(options: &Options) -> Result<bool, String> {
    let (faults, duration) = (options.faults()?, options.duration()?);
    if !rustix::process::geteuid().is_root() {
        return Err("it makes containers, which needs root: run it as root".to_owned());
    }
    Binaries::try_locate().map_err(|error| error.to_string())?;
    let seed = options.seed.unwrap_or_else(seed_of_the_clock);
    println!("stress: seed {seed}, {} clients, {duration:?}, faults: {}", options.clients, names(&faults));
    let world = World::new(options).map_err(|error| format!("cannot make the daemon's disk: {error}"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start a runtime: {error}"))?;
    let run = Run {
        leaks: Leaks::snapshot(&world.scratch),
        world: Arc::new(world),
        ledger: Arc::new(Ledger::default()),
        counts: Arc::new(Counts::default()),
        seed,
        clients: options.clients,
        faults,
    };
    let well = runtime.block_on(run.all(duration));
    if well != Ok(true) || options.keep {
        report::keep(&run.world, &run.ledger, seed);
    }
    well
}

fn names(faults: &[Fault]) -> String {
    if faults.is_empty() {
        return "none".to_owned();
    }
    faults.iter().map(|fault| fault.name()).collect::<Vec<_>>().join(", ")
}

fn seed_of_the_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs() % 1_000_000)
}

struct Run {
    world: Arc<World>,
    ledger: Arc<Ledger>,
    counts: Arc<Counts>,
    leaks: Leaks,
    seed: u64,
    clients: usize,
    faults: Vec<Fault>,
}

impl Run {
    async fn all(&self, duration: Duration) -> Result<bool, String> {
        let began = Instant::now();
        let reader = tokio::spawn(reader::follow(Arc::clone(&self.world), Arc::clone(&self.ledger)));
        self.work(0, WARM_UP.min(duration), began, Vec::new()).await?;
        self.drain().await?;
        tokio::time::sleep(QUIET).await;
        let before = Use::of(&self.world);
        self.work(1, duration.saturating_sub(began.elapsed()), began, self.faults.clone()).await?;
        self.drain().await?;
        let replay = reader::replay(&self.world.address).await?;
        self.ledger.close(&replay);
        tokio::time::sleep(QUIET).await;
        let after = audit(&self.world, &self.leaks, &self.ledger, &before);
        reader.abort();
        Ok(report::finish(&self.ledger, &self.counts, &before, &after))
    }

    /// Clients and faults for so long.
    async fn work(
        &self,
        part: usize,
        length: Duration,
        began: Instant,
        faults: Vec<Fault>,
    ) -> Result<(), String> {
        self.world.stop.store(false, Ordering::Relaxed);
        let mut clients = JoinSet::new();
        for number in 0..self.clients {
            let number = part * self.clients + number;
            let disconnects = faults.contains(&Fault::Disconnect);
            let client =
                Client::new(number, self.seed, disconnects, &self.world, &self.ledger, &self.counts).await?;
            clients.spawn(client.run());
        }
        let handle = tokio::runtime::Handle::current();
        let injector = Injector::new(faults, self.seed, &self.world, &self.ledger, &self.counts, handle);
        let injector = thread::spawn(move || injector.run());
        let end = tokio::time::Instant::now() + length;
        let mut next = tokio::time::interval_at(tokio::time::Instant::now() + PROGRESS, PROGRESS);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(end) => break,
                _ = next.tick() => report::progress(began.elapsed(), &self.ledger, &self.counts),
                _ = tokio::signal::ctrl_c() => {
                    println!("stress: ends early, and is audited");
                    break;
                }
            }
        }
        self.world.stop.store(true, Ordering::Relaxed);
        while !injector.is_finished() {
            tokio::time::sleep(AGAIN).await;
        }
        if injector.join().is_err() {
            self.ledger.problem(Wrong::Panic, None, "the thread of the faults panicked");
        }
        while let Some(client) = clients.join_next().await {
            if let Err(error) = client {
                self.ledger.problem(Wrong::Panic, None, format!("a client of this command: {error}"));
            }
        }
        Ok(())
    }

    /// Ends what is left, and waits until all of it was told.
    async fn drain(&self) -> Result<(), String> {
        let mut session = Session::connect(&self.world, &self.ledger, &self.counts).await?;
        let began = Instant::now();
        loop {
            let left = match session.state(StateRequest::default()).await {
                Outcome::Done(containers) => containers,
                Outcome::Refused(error) | Outcome::Lost(error) => return Err(format!("State: {error}")),
            };
            if left.is_empty() && self.ledger.open() == 0 {
                return Ok(());
            }
            if began.elapsed() > DRAIN_LIMIT {
                let ids: Vec<String> = left.into_iter().map(|container| container.id).collect();
                let text = format!("not all has ended after {DRAIN_LIMIT:?}: {}", ids.join(", "));
                self.ledger.problem(Wrong::Lost, ids.first().map(String::as_str), text);
                return Ok(());
            }
            for container in left {
                let id = container.id;
                self.ledger.may_end(&id, "init", ledger::KILLED, "everything is ended");
                if container.status == "paused" {
                    let status = "running".to_owned();
                    let request = UpdateContainerRequest { id: id.clone(), status, ..Default::default() };
                    session.update("resume", request).await;
                }
                session.signal(SignalRequest { id, pid: "init".to_owned(), signal: payload::SIGKILL }).await;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

//! Clients that do random things to containers of their own.

use super::calls::{Outcome, Session};
use super::counts::Counts;
use super::ledger::{Ledger, Wrong};
use super::payload::{Payload, SIGKILL, SIGTERM, SIGUSR1};
use super::world::{Place, World};
use crate::Random;
use gantry_api::types::{
    AddProcessRequest, SignalRequest, StateRequest, StatsRequest, UpdateContainerRequest, UpdateResource,
    User,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many containers one client has at once.
const AT_ONCE: usize = 4;
/// After which a container is ended for the sake of the next one.
const LIFE: Duration = Duration::from_secs(6);
/// After which it is asked for a container whose client saw the daemon die; and after which one that nobody knows has
/// never been.
const UNDECIDED: Duration = Duration::from_secs(1);
const NEVER_WAS: Duration = Duration::from_secs(4);
/// How long the ending of all containers may take.
const END_LIMIT: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(50);

/// One container as its client sees it.
struct Container {
    id: String,
    payload: Payload,
    place: Place,
    began: Instant,
    /// Whether the client was told that it runs.
    certain: bool,
    paused: bool,
    /// It may have ended by now.
    ending: bool,
    /// Its client has sent a signal that ends it.
    signalled: bool,
    execs: Vec<String>,
    made: usize,
}

pub(super) struct Client {
    number: usize,
    session: Session,
    random: Random,
    world: Arc<World>,
    ledger: Arc<Ledger>,
    counts: Arc<Counts>,
    live: Vec<Container>,
    made: usize,
    disconnects: bool,
}

impl Client {
    pub(super) async fn new(
        number: usize,
        seed: u64,
        disconnects: bool,
        world: &Arc<World>,
        ledger: &Arc<Ledger>,
        counts: &Arc<Counts>,
    ) -> Result<Self, String> {
        Ok(Self {
            number,
            session: Session::connect(world, ledger, counts).await?,
            random: Random::new(seed.wrapping_mul(1_000).wrapping_add(number as u64)),
            world: Arc::clone(world),
            ledger: Arc::clone(ledger),
            counts: Arc::clone(counts),
            live: Vec::new(),
            made: 0,
            disconnects,
        })
    }

    /// Works until it is to stop, and then ends what it has.
    pub(super) async fn run(mut self) {
        while !self.world.stopped() {
            self.retire().await;
            if self.live.is_empty() || (self.live.len() < AT_ONCE && self.random.chance(35)) {
                self.create().await;
            } else {
                self.operate().await;
            }
            tokio::time::sleep(Duration::from_millis(self.random.below(60) as u64)).await;
        }
        self.end_all().await;
    }

    async fn end_all(&mut self) {
        let began = Instant::now();
        while !self.live.is_empty() && began.elapsed() < END_LIMIT {
            for at in 0..self.live.len() {
                self.end(at).await;
            }
            tokio::time::sleep(AGAIN).await;
            self.retire().await;
        }
        for left in &self.live {
            // Whether the others were ever there is not known; what is there is ended with everything else.
            if left.certain {
                let text = format!("{} does not end within {END_LIMIT:?}", left.id);
                self.ledger.problem(Wrong::Lost, Some(&left.id), text);
            }
        }
    }

    // === containers that have ended ===

    async fn retire(&mut self) {
        let mut at = 0;
        while at < self.live.len() {
            let container = &self.live[at];
            if self.ledger.is_over(&container.id) {
                let container = self.live.swap_remove(at);
                self.look_back(container).await;
            } else if !container.certain && container.began.elapsed() > UNDECIDED && self.exists(at).await {
                self.live[at].certain = true;
            } else if !self.live[at].certain && self.live[at].began.elapsed() > NEVER_WAS {
                self.live.swap_remove(at).place.remove();
            } else {
                at += 1;
            }
        }
    }

    async fn exists(&mut self, at: usize) -> bool {
        let id = self.live[at].id.clone();
        match self.session.state(StateRequest { id }).await {
            Outcome::Done(_) => true,
            Outcome::Refused(_) | Outcome::Lost(_) => false,
        }
    }

    /// A container's output, and the record of its end.
    async fn look_back(&mut self, mut container: Container) {
        let id = container.id.clone();
        let harmed = self.ledger.is_harmed(&id);
        if let Some(output) = container.place.output() {
            // One that was killed may not have come to say anything.
            let must = container.payload.status.is_some() && !container.ending_by_us() && !harmed;
            if must && !output.contains(&container.payload.greeting) {
                self.ledger.problem(
                    Wrong::Output,
                    Some(&id),
                    format!("{id} ended, and has written {output:?}"),
                );
            }
        }
        container.place.remove();
        if self.random.chance(30) {
            self.session.inspect(&id).await;
            if self.random.chance(50) {
                self.session.remove(&id).await;
            }
        }
    }

    // === operations ===

    async fn create(&mut self) {
        self.made += 1;
        let id = format!("c{}-{}", self.number, self.made);
        let payload = Payload::init(&mut self.random, &id);
        let (name, runtime) = self.world.runtime(self.random.below(1000));
        let (request, place) = match self.world.prepare(&id, &payload, runtime) {
            Ok(made) => made,
            Err(error) => {
                self.ledger.problem(Wrong::Panic, None, format!("cannot make the bundle of {id}: {error}"));
                return;
            }
        };
        let allowed: Vec<u32> = payload.status.into_iter().collect();
        let what = format!("{name:?} {:?} {:?} {}", payload.streams, payload.args, payload.terminal);
        self.ledger.ask(&id, "init", &allowed, &what);
        if let Some(status) = payload.status {
            self.ledger.may_end(&id, "init", status, "by itself");
        }
        let hang_up = self.disconnects && self.random.chance(4);
        let certain = if hang_up {
            let patience = Duration::from_millis(self.random.below(30) as u64);
            let _fault = self.counts.disturb("disconnect");
            self.session.create_and_hang_up(request, patience).await;
            self.ledger.unknown(&id, "init", "the client hung up");
            false
        } else {
            match self.session.create(request).await {
                Outcome::Done(pid) => {
                    self.ledger.started(&id, "init", pid);
                    true
                }
                Outcome::Refused(error) => {
                    self.ledger.refused(&id, "init", &error);
                    self.session.excuse("create", &id, false, &error);
                    place.remove();
                    return;
                }
                Outcome::Lost(error) => {
                    self.ledger.unknown(&id, "init", &error);
                    false
                }
            }
        };
        let ending = payload.status.is_some() || !certain;
        self.live.push(Container {
            id,
            payload,
            place,
            began: Instant::now(),
            certain,
            paused: false,
            ending,
            signalled: false,
            execs: Vec::new(),
            made: 0,
        });
    }

    async fn operate(&mut self) {
        let certain: Vec<usize> = (0..self.live.len()).filter(|at| self.live[*at].certain).collect();
        if certain.is_empty() {
            return;
        }
        let at = self.random.choose(&certain);
        if self.live[at].began.elapsed() > LIFE {
            return self.end(at).await;
        }
        match self.random.below(100) {
            0..=29 => self.exec(at).await,
            30..=47 => self.signal(at).await,
            48..=57 => self.pause(at).await,
            58..=65 => self.update(at).await,
            66..=73 => self.stats(at).await,
            74..=85 => self.state(at).await,
            _ => self.end(at).await,
        }
    }

    async fn exec(&mut self, at: usize) {
        if self.live[at].paused {
            return self.resume(at).await;
        }
        let payload = Payload::exec(&mut self.random);
        let container = &mut self.live[at];
        container.made += 1;
        let (id, process) = (container.id.clone(), format!("e{}", container.made));
        let allowed: Vec<u32> = payload.status.into_iter().collect();
        self.ledger.ask(&id, &process, &allowed, &format!("{:?}", payload.args));
        let request = AddProcessRequest {
            id: id.clone(),
            pid: process.clone(),
            args: payload.args,
            terminal: payload.terminal,
            env: vec!["PATH=/bin".to_owned()],
            cwd: "/".to_owned(),
            user: Some(User::default()),
            ..Default::default()
        };
        match self.session.add_process(request).await {
            Outcome::Done(pid) => self.ledger.started(&id, &process, pid),
            Outcome::Refused(error) => {
                self.ledger.refused(&id, &process, &error);
                return self.session.excuse("exec", &id, self.live[at].ending, &error);
            }
            Outcome::Lost(error) => self.ledger.unknown(&id, &process, &error),
        }
        self.live[at].execs.push(process);
    }

    async fn signal(&mut self, at: usize) {
        let signal = self.random.choose(&[SIGTERM, SIGUSR1, SIGKILL, SIGTERM]);
        let execs = self.live[at].execs.len();
        if execs > 0 && self.random.chance(60) {
            let process = self.live[at].execs[self.random.below(execs)].clone();
            self.ledger.may_end(&self.live[at].id, &process, 128 + signal, "a client's signal");
            return self.send(at, &process, signal, true).await;
        }
        if let Some(status) = self.live[at].payload.ends_by(signal) {
            self.ledger.may_end(&self.live[at].id, "init", status, "a client's signal");
            self.live[at].ending = true;
            self.live[at].signalled = true;
        }
        self.send(at, "init", signal, false).await;
    }

    async fn send(&mut self, at: usize, process: &str, signal: u32, may_be_gone: bool) {
        let container = &self.live[at];
        let id = container.id.clone();
        let request = SignalRequest { id: id.clone(), pid: process.to_owned(), signal };
        let gone = may_be_gone || container.ending;
        match self.session.signal(request).await {
            Outcome::Refused(error) => self.session.excuse("signal", &id, gone, &error),
            Outcome::Done(()) | Outcome::Lost(_) => {}
        }
    }

    async fn pause(&mut self, at: usize) {
        if self.live[at].paused {
            return self.resume(at).await;
        }
        self.live[at].paused = true;
        self.set_status(at, "paused").await;
    }

    async fn resume(&mut self, at: usize) {
        if self.set_status(at, "running").await {
            self.live[at].paused = false;
        }
    }

    async fn set_status(&mut self, at: usize, status: &str) -> bool {
        let (id, ending) = (self.live[at].id.clone(), self.live[at].ending);
        let request =
            UpdateContainerRequest { id: id.clone(), status: status.to_owned(), ..Default::default() };
        match self.session.update(if status == "paused" { "pause" } else { "resume" }, request).await {
            Outcome::Done(()) => true,
            Outcome::Refused(error) => {
                self.session.excuse(status, &id, ending, &error);
                false
            }
            Outcome::Lost(_) => false,
        }
    }

    async fn update(&mut self, at: usize) {
        let (id, ending) = (self.live[at].id.clone(), self.live[at].ending);
        let resources = UpdateResource {
            memory_limit: (64 + self.random.below(64) as u64) << 20,
            cpu_shares: 512 + self.random.below(1024) as u64,
            ..Default::default()
        };
        let request =
            UpdateContainerRequest { id: id.clone(), resources: Some(resources), ..Default::default() };
        if let Outcome::Refused(error) = self.session.update("update", request).await {
            self.session.excuse("update", &id, ending, &error);
        }
    }

    async fn stats(&mut self, at: usize) {
        let (id, ending) = (self.live[at].id.clone(), self.live[at].ending);
        if let Outcome::Refused(error) = self.session.stats(StatsRequest { id: id.clone() }).await {
            self.session.excuse("stats", &id, ending, &error);
        }
    }

    async fn state(&mut self, at: usize) {
        let (id, ending) = (self.live[at].id.clone(), self.live[at].ending);
        let all = self.random.chance(30);
        let request = StateRequest { id: if all { String::new() } else { id.clone() } };
        match self.session.state(request).await {
            Outcome::Done(containers) => {
                if !ending
                    && !containers.iter().any(|container| container.id == id)
                    && !self.ledger.is_harmed(&id)
                {
                    let text = format!("{id} runs, and State does not list it");
                    self.ledger.problem(Wrong::Lost, Some(&id), text);
                }
            }
            Outcome::Refused(error) => self.session.excuse("state", &id, ending, &error),
            Outcome::Lost(_) => {}
        }
    }

    /// Ends a container, paused or not.
    async fn end(&mut self, at: usize) {
        if self.live[at].paused {
            self.resume(at).await;
        }
        if let Some(status) = self.live[at].payload.ends_by(SIGKILL) {
            self.ledger.may_end(&self.live[at].id, "init", status, "its client ends it");
        }
        self.live[at].ending = true;
        self.live[at].signalled = true;
        self.send(at, "init", SIGKILL, true).await;
    }
}

impl Container {
    /// Whether its client did something that may end it before its time.
    fn ending_by_us(&self) -> bool {
        !self.certain || self.signalled
    }
}

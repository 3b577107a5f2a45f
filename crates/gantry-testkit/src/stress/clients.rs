//! Clients that do random things to containers of their own.

use super::calls::{Outcome, Session};
use super::counts::Counts;
use super::ledger::{Ledger, Wrong};
use super::payload::Payload;
use super::world::{Place, World};
use crate::Random;
use gantry_api::types::StateRequest;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many containers one client has at once.
const AT_ONCE: usize = 4;
/// After which a container whose client was not told, and which nobody knows, has never been.
const NEVER_WAS: Duration = Duration::from_secs(4);
/// How long the ending of all containers may take.
const END_LIMIT: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(50);

/// One container as its client sees it.
pub(super) struct Container {
    pub(super) id: String,
    pub(super) payload: Payload,
    pub(super) place: Place,
    pub(super) began: Instant,
    /// Whether the client was told that it runs.
    pub(super) certain: bool,
    pub(super) paused: bool,
    /// It may have ended by now.
    pub(super) ending: bool,
    /// Its client has sent a signal that ends it.
    pub(super) signalled: bool,
    pub(super) execs: Vec<String>,
    pub(super) made: usize,
}

pub(super) struct Client {
    number: usize,
    pub(super) session: Session,
    pub(super) random: Random,
    world: Arc<World>,
    pub(super) ledger: Arc<Ledger>,
    counts: Arc<Counts>,
    pub(super) live: Vec<Container>,
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
            } else if !container.certain && self.ledger.has_started(&container.id) {
                self.live[at].certain = true;
            } else if !container.certain && container.began.elapsed() > NEVER_WAS && !self.exists(at).await {
                self.live.swap_remove(at).place.remove();
            } else {
                at += 1;
            }
        }
    }

    async fn exists(&mut self, at: usize) -> bool {
        let id = self.live[at].id.clone();
        match self.session.state(StateRequest { id }).await {
            Outcome::Done(_) | Outcome::Lost(_) => true,
            Outcome::Refused(_) => false,
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
        if let Some(complaint) = container.place.complaint() {
            self.ledger.note(&id, format_args!("on its standard error: {complaint:?}"));
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
        if payload.terminal {
            self.ledger.has_terminal(&id, "init");
        }
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
}

impl Container {
    /// Whether its client did something that may end it before its time.
    fn ending_by_us(&self) -> bool {
        !self.certain || self.signalled
    }
}

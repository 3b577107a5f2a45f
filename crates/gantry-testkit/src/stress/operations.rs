//! What clients do to a container that runs, or did a moment ago.

use super::calls::Outcome;
use super::clients::Client;
use super::ledger::Wrong;
use super::payload::{Payload, SIGKILL, SIGTERM, SIGUSR1};
use gantry_api::types::{
    AddProcessRequest, SignalRequest, StateRequest, StatsRequest, UpdateContainerRequest, UpdateResource,
    User,
};
use std::time::Duration;

/// After which a container is ended for the sake of the next one.
const LIFE: Duration = Duration::from_secs(6);

impl Client {
    pub(super) async fn operate(&mut self) {
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
        if payload.terminal {
            self.ledger.has_terminal(&id, &process);
        }
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
    pub(super) async fn end(&mut self, at: usize) {
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

//! Calls over one connection: each is counted, bounded, and its failure told apart from a daemon that died.

use super::counts::Counts;
use super::ledger::{Ledger, Wrong};
use super::world::World;
use gantry_api::client;
use gantry_api::gantry::containers_client::ContainersClient;
use gantry_api::gantry::{InspectRequest, RemoveRequest};
use gantry_api::types::api_client::ApiClient;
use gantry_api::types::{
    AddProcessRequest, Container, CreateContainerRequest, SignalRequest, StateRequest, StatsRequest,
    UpdateContainerRequest,
};
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

/// Longer than any call may take, a daemon that is stopped or restarted meanwhile included.
const CALL_LIMIT: Duration = Duration::from_secs(60);
/// How soon the next call may come after one that found no daemon.
const NO_DAEMON: Duration = Duration::from_millis(20);

/// What came of a call.
pub(super) enum Outcome<T> {
    Done(T),
    /// The daemon said no.
    Refused(String),
    /// The connection broke: it may have been done, or not.
    Lost(String),
}

/// One client's connection.
pub(super) struct Session {
    channel: Channel,
    address: String,
    ledger: Arc<Ledger>,
    counts: Arc<Counts>,
    /// When the last call began.
    began: Instant,
}

impl Session {
    pub(super) async fn connect(
        world: &World,
        ledger: &Arc<Ledger>,
        counts: &Arc<Counts>,
    ) -> Result<Self, String> {
        let channel = client::connect(&world.address).await.map_err(|error| error.to_string())?;
        Ok(Self {
            channel,
            address: world.address.clone(),
            ledger: Arc::clone(ledger),
            counts: Arc::clone(counts),
            began: Instant::now(),
        })
    }

    fn api(&self) -> ApiClient<Channel> {
        ApiClient::new(self.channel.clone())
    }

    async fn call<T>(
        &mut self,
        name: &str,
        id: &str,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Outcome<T> {
        self.counts.operations.add(name);
        self.began = Instant::now();
        match timeout(CALL_LIMIT, call).await {
            Ok(Ok(answer)) => Outcome::Done(answer.into_inner()),
            Ok(Err(status)) => {
                self.counts.error(name, &status);
                // An error of the transport, or what the daemon says when it stops.
                if status.source().is_some() || matches!(status.code(), Code::Unavailable | Code::Cancelled) {
                    if !self.counts.disturbed_since(self.began) {
                        let text = format!("{name} {id}: the connection broke: {status}");
                        self.ledger.problem(Wrong::Refused, Some(id), text);
                    }
                    tokio::time::sleep(NO_DAEMON).await;
                    return Outcome::Lost(status.to_string());
                }
                Outcome::Refused(format!("{:?}: {}", status.code(), status.message()))
            }
            Err(_) => {
                self.ledger.problem(
                    Wrong::Refused,
                    Some(id),
                    format!("{name} {id}: no answer within {CALL_LIMIT:?}"),
                );
                Outcome::Lost("no answer".to_owned())
            }
        }
    }

    /// Tells of the last call's refusal unless a fault, or the end of what it was about, excuses it.
    pub(super) fn excuse(&self, name: &str, id: &str, may_be_gone: bool, error: &str) {
        self.ledger.note(id, format_args!("{name} was refused: {error}"));
        let gone = may_be_gone && is_of_something_gone(error);
        let excused = gone || self.ledger.is_ending(id) || self.ledger.is_harmed(id);
        if !excused && !self.counts.disturbed_since(self.began) {
            self.ledger.problem(Wrong::Refused, Some(id), format!("{name} {id}: {error}"));
        }
    }

    pub(super) async fn create(&mut self, request: CreateContainerRequest) -> Outcome<u32> {
        let (mut api, id) = (self.api(), request.id.clone());
        let answer = self.call("create", &id, api.create_container(request)).await;
        let pid = |container: Option<Container>| {
            container.and_then(|c| c.processes.first().map(|process| process.system_pid)).unwrap_or_default()
        };
        answer.map(|answer| pid(answer.container))
    }

    /// A call over a connection of its own, which is closed before the answer may have come.
    pub(super) async fn create_and_hang_up(&self, request: CreateContainerRequest, patience: Duration) {
        let call = async {
            let channel = client::connect(&self.address).await.ok()?;
            ApiClient::new(channel).create_container(request).await.ok()
        };
        // Whatever came of it, nobody is told.
        let _ = timeout(patience, call).await;
    }

    pub(super) async fn add_process(&mut self, request: AddProcessRequest) -> Outcome<u32> {
        let (mut api, id) = (self.api(), request.id.clone());
        self.call("exec", &id, api.add_process(request)).await.map(|answer| answer.system_pid)
    }

    pub(super) async fn signal(&mut self, request: SignalRequest) -> Outcome<()> {
        let (mut api, id) = (self.api(), request.id.clone());
        self.call("signal", &id, api.signal(request)).await.map(drop)
    }

    pub(super) async fn update(&mut self, name: &str, request: UpdateContainerRequest) -> Outcome<()> {
        let (mut api, id) = (self.api(), request.id.clone());
        self.call(name, &id, api.update_container(request)).await.map(drop)
    }

    pub(super) async fn stats(&mut self, request: StatsRequest) -> Outcome<()> {
        let (mut api, id) = (self.api(), request.id.clone());
        self.call("stats", &id, api.stats(request)).await.map(drop)
    }

    pub(super) async fn state(&mut self, request: StateRequest) -> Outcome<Vec<Container>> {
        let (mut api, id) = (self.api(), request.id.clone());
        self.call("state", &id, api.state(request)).await.map(|answer| answer.containers)
    }

    /// The record of a container that has ended says what the event said.
    pub(super) async fn inspect(&mut self, id: &str) {
        let mut api = ContainersClient::new(self.channel.clone());
        match self.call("inspect", id, api.inspect(InspectRequest { id: id.to_owned() })).await {
            Outcome::Done(answer) => {
                let status = answer.ended.map(|ended| ended.status);
                if status != self.ledger.exit_of(id) {
                    let text = format!(
                        "{id} is on record with {status:?}, and was told with {:?}",
                        self.ledger.exit_of(id)
                    );
                    self.ledger.problem(Wrong::Status, Some(id), text);
                }
            }
            Outcome::Refused(error) => self.excuse("inspect", id, false, &error),
            Outcome::Lost(_) => {}
        }
    }

    pub(super) async fn remove(&mut self, id: &str) {
        let mut api = ContainersClient::new(self.channel.clone());
        if let Outcome::Refused(error) =
            self.call("remove", id, api.remove(RemoveRequest { id: id.to_owned() })).await
        {
            self.excuse("remove", id, false, &error);
        }
    }
}

impl<T> Outcome<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Done(done) => Outcome::Done(change(done)),
            Self::Refused(error) => Outcome::Refused(error),
            Self::Lost(error) => Outcome::Lost(error),
        }
    }
}

/// What is said of a container or process that ended before the call came to it.
fn is_of_something_gone(error: &str) -> bool {
    ["not found", "no such process", "does not run", "not running", "has ended", "stopped"]
        .iter()
        .any(|text| error.contains(text))
}

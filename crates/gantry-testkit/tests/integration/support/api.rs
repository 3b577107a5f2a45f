//! A gRPC client of `types.API` and the health service that blocks, with a limit on every wait.

use super::SOON;
use gantry_api::client;
use gantry_api::health::HealthCheckRequest;
use gantry_api::health::health_client::HealthClient;
use gantry_api::types::api_client::ApiClient;
use gantry_api::types::{
    AddProcessRequest, Container, CreateContainerRequest, Event, EventsRequest, SignalRequest, StateRequest,
    User,
};
use gantry_testkit::{Bundle, Daemon, StdioFifos, patient};
use prost_types::Timestamp;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// One connection to a daemon.
pub(crate) struct Api {
    runtime: Arc<Runtime>,
    pub(super) channel: Channel,
}

/// A subscription to events.
pub(crate) struct Events {
    pub(super) runtime: Arc<Runtime>,
    pub(super) stream: Streaming<Event>,
}

/// What of an event a test compares: type, container, process, status.
pub(crate) type EventKey = (String, String, String, u32);

/// A request that runs a bundle, with its stdio at `/dev/null`.
pub(crate) fn create_request(bundle: &Bundle) -> CreateContainerRequest {
    CreateContainerRequest {
        id: bundle.id().to_owned(),
        bundle_path: bundle.path().to_str().unwrap().to_owned(),
        ..Default::default()
    }
}

/// A request that runs a command in a container as root, with its stdio at `/dev/null`.
pub(crate) fn exec_request(container: &str, process: &str, args: &[&str]) -> AddProcessRequest {
    AddProcessRequest {
        id: container.to_owned(),
        pid: process.to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: vec!["PATH=/bin".to_owned()],
        cwd: "/".to_owned(),
        user: Some(User::default()),
        ..Default::default()
    }
}

// === impl Api ===

impl Api {
    /// Connects to a daemon.
    pub(crate) fn connect(daemon: &Daemon) -> Self {
        Self::connect_to(&daemon.address())
    }

    /// Connects to whoever listens at an address.
    pub(crate) fn connect_to(address: &str) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = Arc::new(runtime.worker_threads(1).enable_all().build().unwrap());
        let channel = within(&runtime, "connect", SOON, client::connect(address)).unwrap();
        Self { runtime, channel }
    }

    /// Its client, for whoever waits by himself.
    pub(crate) fn client(&self) -> ApiClient<Channel> {
        ApiClient::new(self.channel.clone())
    }

    /// Waits for an answer, within limits.
    pub(crate) fn wait<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        within(&self.runtime, what, SOON, future)
    }

    /// Creates and starts a container.
    pub(crate) fn create(&self, request: CreateContainerRequest) -> Result<Container, Status> {
        let mut client = self.client();
        let answer = self.wait("CreateContainer", client.create_container(request))?;
        Ok(answer.into_inner().container.expect("a container in the answer"))
    }

    /// Runs a bundle with its streams at FIFOs.
    pub(crate) fn create_with(&self, bundle: &Bundle, stdio: &StdioFifos) -> Result<Container, Status> {
        let (stdin, stdout, stderr) = (stdio.stdin.text(), stdio.stdout.text(), stdio.stderr.text());
        self.create(CreateContainerRequest { stdin, stdout, stderr, ..create_request(bundle) })
    }

    /// Starts one more process; its pid on the host.
    pub(crate) fn add_process(&self, request: AddProcessRequest) -> Result<u32, Status> {
        let mut client = self.client();
        let answer = self.wait("AddProcess", client.add_process(request))?;
        Ok(answer.into_inner().system_pid)
    }

    /// Sends a signal to a process of a container.
    pub(crate) fn signal(&self, container: &str, process: &str, signal: u32) -> Result<(), Status> {
        let request = SignalRequest { id: container.to_owned(), pid: process.to_owned(), signal };
        let mut client = self.client();
        self.wait("Signal", client.signal(request)).map(drop)
    }

    /// All containers, or the one with this id.
    pub(crate) fn state(&self, id: &str) -> Result<Vec<Container>, Status> {
        let mut client = self.client();
        let answer = self.wait("State", client.state(StateRequest { id: id.to_owned() }))?;
        Ok(answer.into_inner().containers)
    }

    /// Events from now on.
    pub(crate) fn events(&self) -> Events {
        self.subscribe(EventsRequest::default())
    }

    /// All stored events, and then new ones.
    pub(crate) fn events_from_the_start(&self) -> Events {
        self.subscribe(EventsRequest { timestamp: Some(Timestamp::default()), ..Default::default() })
    }

    pub(super) fn subscribe(&self, request: EventsRequest) -> Events {
        let mut client = self.client();
        let stream = self.wait("Events", client.events(request)).unwrap().into_inner();
        Events { runtime: Arc::clone(&self.runtime), stream }
    }

    /// What the health service says about `service`, as a number of `ServingStatus`.
    pub(crate) fn health(&self, service: &str) -> Result<i32, Status> {
        let mut client = HealthClient::new(self.channel.clone());
        let request = HealthCheckRequest { service: service.to_owned() };
        Ok(self.wait("Check", client.check(request))?.into_inner().status)
    }
}

// === impl Events ===

impl Events {
    /// The next event.
    ///
    /// # Panics
    /// When none comes soon, or the stream ends.
    pub(crate) fn next(&mut self) -> Event {
        let message = within(&self.runtime, "an event", SOON, self.stream.message());
        message.unwrap().expect("the events' stream goes on")
    }

    /// The next event, as what tests compare.
    pub(crate) fn next_key(&mut self) -> EventKey {
        let event = self.next();
        (event.r#type, event.id, event.pid, event.status)
    }

    /// Waits for the exit of a process and returns its status; other events are passed over.
    pub(crate) fn exit_of(&mut self, container: &str, process: &str) -> u32 {
        loop {
            let event = self.next();
            if event.r#type == "exit" && event.id == container && event.pid == process {
                return event.status;
            }
        }
    }
}

pub(super) fn within<T>(
    runtime: &Runtime,
    what: &str,
    limit: Duration,
    future: impl Future<Output = T>,
) -> T {
    runtime
        .block_on(async { timeout(patient(limit), future).await })
        .unwrap_or_else(|_| panic!("{what} did not come within {limit:?}"))
}

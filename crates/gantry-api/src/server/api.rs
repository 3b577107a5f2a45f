//! `types.API`, each rpc a translation.

use super::client::Streams;
use super::convert;
use super::events::{EventStream, since};
use super::stats;
use super::status::status;
use crate::types::api_server::{Api as ApiService, ApiServer};
use crate::types::{
    AddProcessRequest, AddProcessResponse, CreateCheckpointRequest, CreateCheckpointResponse,
    CreateContainerRequest, CreateContainerResponse, DeleteCheckpointRequest, DeleteCheckpointResponse,
    EventsRequest, GetServerVersionRequest, GetServerVersionResponse, ListCheckpointRequest,
    ListCheckpointResponse, SignalRequest, SignalResponse, StateRequest, StateResponse, StatsRequest,
    StatsResponse, UpdateContainerRequest, UpdateContainerResponse, UpdateProcessRequest,
    UpdateProcessResponse,
};
use gantry_supervisor::Supervisor;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// What `GetServerVersion` answers.
#[derive(Clone, Debug, Default)]
pub struct Version {
    /// Major version.
    pub major: u32,
    /// Minor version.
    pub minor: u32,
    /// Patch level.
    pub patch: u32,
    /// The commit that it was built from.
    pub revision: String,
}

/// The service on a supervisor.
#[derive(Clone, Debug)]
pub struct Api {
    supervisor: Supervisor,
    version: Version,
    streams: Streams,
}

impl Api {
    /// The service to mount.
    #[must_use]
    pub fn service(supervisor: Supervisor, version: Version) -> ApiServer<Self> {
        ApiServer::new(Self { supervisor, version, streams: Streams::default() })
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn answer<T>(result: gantry_supervisor::Result<T>) -> Answer<T> {
    result.map(Response::new).map_err(|error| status(&error))
}

fn is_container_not_found(error: &gantry_supervisor::Error) -> bool {
    use gantry_container::Error::ContainerNotFound;
    matches!(error, gantry_supervisor::Error::Container(ContainerNotFound(_)))
}

#[tonic::async_trait]
impl ApiService for Api {
    async fn get_server_version(
        &self,
        _: Request<GetServerVersionRequest>,
    ) -> Answer<GetServerVersionResponse> {
        let Version { major, minor, patch, revision } = self.version.clone();
        Ok(Response::new(GetServerVersionResponse { major, minor, patch, revision }))
    }

    async fn create_container(
        &self,
        request: Request<CreateContainerRequest>,
    ) -> Answer<CreateContainerResponse> {
        let request = convert::create_request(request.into_inner()).map_err(|error| status(&error.into()))?;
        let created = self.supervisor.create(request).await;
        answer(created.map(|view| CreateContainerResponse {
            container: Some(convert::container(Arc::unwrap_or_clone(view))),
        }))
    }

    async fn update_container(
        &self,
        request: Request<UpdateContainerRequest>,
    ) -> Answer<UpdateContainerResponse> {
        let request = request.into_inner();
        // A status wins: resources in the same request are ignored, as they always were.
        let done = match (request.status.as_str(), request.resources) {
            ("paused", _) => self.supervisor.set_paused(&request.id, true).await,
            ("running", _) => self.supervisor.set_paused(&request.id, false).await,
            ("", Some(resources)) => self.supervisor.update(&request.id, convert::resources(resources)).await,
            ("", None) => self.supervisor.state(&request.id).await.map(drop),
            _ => return Err(Status::unknown("containerd: unknown container status ")),
        };
        answer(done.map(|()| UpdateContainerResponse {}))
    }

    async fn signal(&self, request: Request<SignalRequest>) -> Answer<SignalResponse> {
        let SignalRequest { id, pid, signal } = request.into_inner();
        answer(self.supervisor.signal(&id, &pid, signal).await.map(|()| SignalResponse {}))
    }

    async fn update_process(&self, request: Request<UpdateProcessRequest>) -> Answer<UpdateProcessResponse> {
        let UpdateProcessRequest { id, pid, close_stdin, width, height } = request.into_inner();
        let cells = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let size = (width > 0 || height > 0).then(|| (cells(width), cells(height)));
        let done = self.supervisor.update_process(&id, &pid, close_stdin, size).await;
        answer(done.map(|()| UpdateProcessResponse {}))
    }

    async fn add_process(&self, request: Request<AddProcessRequest>) -> Answer<AddProcessResponse> {
        let request = request.into_inner();
        if request.id.is_empty() {
            return Err(Status::unknown("container id cannot be empty"));
        }
        if request.pid.is_empty() {
            return Err(Status::unknown("process id cannot be empty"));
        }
        let (container, process) = (request.id.clone(), request.pid.clone());
        let spec = convert::exec_spec(request).map_err(|error| status(&error.into()))?;
        let started = self.supervisor.exec(&container, &process, spec).await;
        answer(started.map(|system_pid| AddProcessResponse { system_pid }))
    }

    async fn create_checkpoint(
        &self,
        request: Request<CreateCheckpointRequest>,
    ) -> Answer<CreateCheckpointResponse> {
        let CreateCheckpointRequest { id, checkpoint, checkpoint_dir } = request.into_inner();
        // 0.2 crashed without one.
        let checkpoint = checkpoint.ok_or_else(|| Status::invalid_argument("checkpoint cannot be empty"))?;
        let done = self.supervisor.checkpoint(&id, checkpoint_dir, convert::checkpoint_of(checkpoint)).await;
        answer(done.map(|()| CreateCheckpointResponse {}))
    }

    async fn delete_checkpoint(
        &self,
        request: Request<DeleteCheckpointRequest>,
    ) -> Answer<DeleteCheckpointResponse> {
        let DeleteCheckpointRequest { id, name, checkpoint_dir } = request.into_inner();
        let done = self.supervisor.delete_checkpoint(&id, &checkpoint_dir, &name).await;
        answer(done.map(|()| DeleteCheckpointResponse {}))
    }

    async fn list_checkpoint(
        &self,
        request: Request<ListCheckpointRequest>,
    ) -> Answer<ListCheckpointResponse> {
        let ListCheckpointRequest { id, checkpoint_dir } = request.into_inner();
        let listed = self.supervisor.checkpoints(&id, &checkpoint_dir).await.map_err(|error| {
            // This rpc alone has a code and a text of its own for it.
            if is_container_not_found(&error) {
                Status::not_found("no such containers")
            } else {
                status(&error)
            }
        })?;
        let checkpoints = listed.into_iter().map(convert::checkpoint_to_wire).collect();
        Ok(Response::new(ListCheckpointResponse { checkpoints }))
    }

    async fn state(&self, request: Request<StateRequest>) -> Answer<StateResponse> {
        let id = request.into_inner().id;
        let views = if id.is_empty() {
            self.supervisor.list().await
        } else {
            vec![self.supervisor.state(&id).await.map_err(|error| status(&error))?]
        };
        Ok(Response::new(convert::state_response(views)))
    }

    type EventsStream = EventStream;

    async fn events(&self, request: Request<EventsRequest>) -> Answer<Self::EventsStream> {
        let place = self.streams.enter(&request)?;
        let EventsRequest { timestamp, stored_only, id } = request.into_inner();
        let container = (!id.is_empty()).then_some(id);
        let events = self.supervisor.events(since(timestamp)?, stored_only, container).await;
        answer(events.map(|subscription| EventStream::new(subscription, place)))
    }

    async fn stats(&self, request: Request<StatsRequest>) -> Answer<StatsResponse> {
        answer(self.supervisor.stats(&request.into_inner().id).await.map(stats::response))
    }
}

//! `gantry.v1.Containers`: what Gantry knows beyond 0.2's wire.

use super::status::status;
use crate::gantry::containers_server::{Containers as ContainersService, ContainersServer};
use crate::gantry::{
    Ended, InspectRequest, InspectResponse, ListRequest, RemoveRequest, RemoveResponse, UpgradeShimsRequest,
    UpgradeShimsResponse, UpgradedShim,
};
use gantry_supervisor::{ReplacedShim, Supervisor, Timestamp};
use std::pin::Pin;
use tonic::codegen::tokio_stream::{self, Stream};
use tonic::{Request, Response, Status};

/// The service on a supervisor.
#[derive(Clone, Debug)]
pub struct Containers {
    supervisor: Supervisor,
}

impl Containers {
    /// The service to mount.
    #[must_use]
    pub fn service(supervisor: Supervisor) -> ContainersServer<Self> {
        ContainersServer::new(Self { supervisor })
    }
}

#[tonic::async_trait]
impl ContainersService for Containers {
    async fn inspect(&self, request: Request<InspectRequest>) -> Result<Response<InspectResponse>, Status> {
        let ended = self.supervisor.ended(&request.into_inner().id).await.map_err(|error| status(&error))?;
        Ok(Response::new(InspectResponse { ended: Some(to_wire(ended)) }))
    }

    type ListStream = Pin<Box<dyn Stream<Item = Result<Ended, Status>> + Send>>;

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<Self::ListStream>, Status> {
        let all = self.supervisor.all_ended().await;
        Ok(Response::new(Box::pin(tokio_stream::iter(all.into_iter().map(to_wire).map(Ok)))))
    }

    async fn remove(&self, request: Request<RemoveRequest>) -> Result<Response<RemoveResponse>, Status> {
        self.supervisor.forget_ended(&request.into_inner().id).await.map_err(|error| status(&error))?;
        Ok(Response::new(RemoveResponse {}))
    }

    async fn upgrade_shims(
        &self,
        request: Request<UpgradeShimsRequest>,
    ) -> Result<Response<UpgradeShimsResponse>, Status> {
        let shims = self.supervisor.replace_shims(&request.into_inner().id).await;
        let shims = shims.map_err(|error| status(&error))?.into_iter().map(upgraded).collect();
        Ok(Response::new(UpgradeShimsResponse { shims }))
    }
}

fn upgraded(shim: ReplacedShim) -> UpgradedShim {
    let pid = |pid: i32| u32::try_from(pid).unwrap_or_default();
    let process = shim.process.to_string();
    match shim.result {
        Ok(pids) => {
            UpgradedShim { process, before: pid(pids.before), now: pid(pids.now), error: String::new() }
        }
        Err(error) => UpgradedShim { process, error: error.to_string(), ..UpgradedShim::default() },
    }
}

fn to_wire(ended: gantry_supervisor::Ended) -> Ended {
    let time = |text: &str| {
        let (seconds, nanos) = Timestamp::parse(text)?.to_parts();
        Some(prost_types::Timestamp { seconds, nanos })
    };
    Ended {
        started_at: time(&ended.started_at),
        ended_at: time(&ended.ended_at),
        id: ended.id,
        bundle_path: ended.bundle,
        runtime: ended.runtime,
        labels: ended.labels,
        system_pid: u32::try_from(ended.system_pid).unwrap_or_default(),
        status: ended.status,
        signal: ended.signal,
        oom_killed: ended.oom_killed,
        cpu_nanos: ended.cpu_nanos,
        peak_memory_bytes: ended.peak_memory_bytes,
    }
}

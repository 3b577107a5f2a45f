//! `grpc.health.v1.Health`: whether the daemon answers at all. It does so at once, also while containers are
//! still being restored.

use crate::health::health_check_response::ServingStatus;
use crate::health::health_server::{Health as HealthService, HealthServer};
use crate::health::{HealthCheckRequest, HealthCheckResponse};
use std::pin::Pin;
use tonic::codegen::tokio_stream::{self, Stream, StreamExt};
use tonic::{Request, Response, Status};

/// The health service. The empty name means the whole server; there are no others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Health;

impl Health {
    /// The service to mount.
    #[must_use]
    pub fn service() -> HealthServer<Self> {
        HealthServer::new(Self)
    }

    fn check(request: &HealthCheckRequest) -> Result<HealthCheckResponse, Status> {
        match request.service.as_str() {
            "" => Ok(HealthCheckResponse { status: ServingStatus::Serving.into() }),
            _ => Err(Status::not_found("unknown service")),
        }
    }
}

#[tonic::async_trait]
impl HealthService for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Self::check(request.get_ref()).map(Response::new)
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        // It serves until it ends, and then the stream ends.
        let first = tokio_stream::once(Self::check(request.get_ref()));
        Ok(Response::new(Box::pin(first.chain(tokio_stream::pending()))))
    }
}

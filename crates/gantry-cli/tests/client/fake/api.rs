//! The calls of `types.API` that the client makes.

use std::pin::Pin;

use gantry_api::types::api_server::Api;
use gantry_api::types::*;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use super::Shared;
use super::process::{Wanted, start};

type Answer<T> = Result<Response<T>, Status>;

fn not_found() -> Status {
    Status::unknown("containerd: container not found")
}

fn nanoseconds(timestamp: Option<prost_types::Timestamp>) -> i128 {
    timestamp
        .map_or(i128::MAX, |moment| i128::from(moment.seconds) * 1_000_000_000 + i128::from(moment.nanos))
}

#[tonic::async_trait]
impl Api for Shared {
    type EventsStream = Pin<Box<dyn Stream<Item = Result<Event, Status>> + Send>>;

    async fn get_server_version(
        &self,
        _: Request<GetServerVersionRequest>,
    ) -> Answer<GetServerVersionResponse> {
        Ok(Response::new(GetServerVersionResponse { major: 0, minor: 2, patch: 9, revision: "fake".into() }))
    }

    async fn create_container(
        &self,
        request: Request<CreateContainerRequest>,
    ) -> Answer<CreateContainerResponse> {
        let request = request.into_inner();
        self.creates.lock().unwrap().push(request.clone());
        if let Some(text) = request.runtime.strip_prefix("fail:") {
            return Err(Status::unknown(text));
        }
        if self.is_running(&request.id) {
            return Err(Status::already_exists(format!("mkdir /x/{}: file exists", request.id)));
        }
        let config = std::fs::read(format!("{}/config.json", request.bundle_path)).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        let strings = |value: &serde_json::Value| -> Vec<String> {
            value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let wanted = Wanted {
            args: strings(&config["process"]["args"]),
            env: strings(&config["process"]["env"]),
            bundle: request.bundle_path,
            stdio: [request.stdin, request.stdout, request.stderr],
        };
        start(&self.me.upgrade().unwrap(), &request.id, "init", wanted, "start-container")
            .map_err(Status::unknown)?;
        Ok(Response::new(CreateContainerResponse { container: Some(Container::default()) }))
    }

    async fn add_process(&self, request: Request<AddProcessRequest>) -> Answer<AddProcessResponse> {
        let request = request.into_inner();
        let wanted = Wanted {
            args: request.args,
            env: request.env,
            bundle: String::new(),
            stdio: [request.stdin, request.stdout, request.stderr],
        };
        let pid = start(&self.me.upgrade().unwrap(), &request.id, &request.pid, wanted, "start-process");
        Ok(Response::new(AddProcessResponse { system_pid: pid.map_err(Status::unknown)? }))
    }

    async fn signal(&self, request: Request<SignalRequest>) -> Answer<SignalResponse> {
        let SignalRequest { id, pid, signal } = request.into_inner();
        let processes = self.processes.lock().unwrap();
        processes.get(&(id, pid)).ok_or_else(not_found)?.signal(signal);
        Ok(Response::new(SignalResponse {}))
    }

    async fn update_process(&self, request: Request<UpdateProcessRequest>) -> Answer<UpdateProcessResponse> {
        let request = request.into_inner();
        self.updates.lock().unwrap().push(request.clone());
        let mut processes = self.processes.lock().unwrap();
        let running = processes.get_mut(&(request.id, request.pid)).ok_or_else(not_found)?;
        if request.close_stdin {
            running.closer = None;
        }
        Ok(Response::new(UpdateProcessResponse {}))
    }

    async fn state(&self, request: Request<StateRequest>) -> Answer<StateResponse> {
        let wanted = request.into_inner().id;
        let mut containers: Vec<Container> = Vec::new();
        for ((id, pid), running) in self.processes.lock().unwrap().iter() {
            if !wanted.is_empty() && *id != wanted {
                continue;
            }
            if containers.last().is_none_or(|container| container.id != *id) {
                containers.push(Container {
                    id: id.clone(),
                    status: "running".into(),
                    bundle_path: running.bundle.clone(),
                    ..Container::default()
                });
            }
            let container = containers.last_mut().unwrap();
            container.pids.push(running.pid());
            container.processes.push(Process {
                pid: pid.clone(),
                args: running.args.clone(),
                env: running.env.clone(),
                system_pid: running.pid(),
                ..Process::default()
            });
        }
        if containers.is_empty() && !wanted.is_empty() {
            return Err(not_found());
        }
        Ok(Response::new(StateResponse { containers, machine: None }))
    }

    async fn events(&self, request: Request<EventsRequest>) -> Answer<Self::EventsStream> {
        let mut request = request.into_inner();
        // Go's zero time means none, as none does.
        request.timestamp = request.timestamp.filter(|timestamp| timestamp.seconds != -62_135_596_800);
        let (sender, mut receiver) = mpsc::channel(8);
        let shared = self.me.upgrade().unwrap();
        let (mut news, mut breaks) = (self.news.subscribe(), self.breaks.subscribe());
        tokio::spawn(async move {
            let since = nanoseconds(request.timestamp);
            let mut next = if request.timestamp.is_some() { 0 } else { shared.events.lock().unwrap().len() };
            loop {
                let fresh: Vec<Event> = shared.events.lock().unwrap()[next..].to_vec();
                next += fresh.len();
                for event in fresh {
                    let wanted = request.id.is_empty() || request.id == event.id;
                    let late = request.timestamp.is_none() || nanoseconds(event.timestamp) > since;
                    if wanted && late && sender.send(Ok(event)).await.is_err() {
                        return;
                    }
                }
                if request.stored_only {
                    return;
                }
                tokio::select! {
                    _ = news.changed() => {}
                    _ = breaks.changed() => {
                        let _ = sender.send(Err(Status::unavailable("broken by the test"))).await;
                        return;
                    }
                    () = sender.closed() => return,
                }
            }
        });
        // As containerd did, and gantryd may: nothing at all is answered before the first event.
        let first = receiver.recv().await;
        Ok(Response::new(Box::pin(tokio_stream::iter(first).chain(ReceiverStream::new(receiver)))))
    }

    async fn stats(&self, request: Request<StatsRequest>) -> Answer<StatsResponse> {
        if !self.is_running(&request.into_inner().id) {
            return Err(not_found());
        }
        Ok(Response::new(StatsResponse {
            cgroup_stats: Some(CgroupStats::default()),
            ..StatsResponse::default()
        }))
    }

    async fn update_container(
        &self,
        request: Request<UpdateContainerRequest>,
    ) -> Answer<UpdateContainerResponse> {
        self.resources.lock().unwrap().extend(request.into_inner().resources);
        Ok(Response::new(UpdateContainerResponse {}))
    }

    async fn create_checkpoint(
        &self,
        request: Request<CreateCheckpointRequest>,
    ) -> Answer<CreateCheckpointResponse> {
        let CreateCheckpointRequest { checkpoint, checkpoint_dir, .. } = request.into_inner();
        self.checkpoints.lock().unwrap().extend(checkpoint.map(|checkpoint| (checkpoint_dir, checkpoint)));
        Ok(Response::new(CreateCheckpointResponse {}))
    }

    async fn delete_checkpoint(
        &self,
        request: Request<DeleteCheckpointRequest>,
    ) -> Answer<DeleteCheckpointResponse> {
        let DeleteCheckpointRequest { name, checkpoint_dir, .. } = request.into_inner();
        let other =
            |(dir, checkpoint): &(String, Checkpoint)| *dir != checkpoint_dir || checkpoint.name != name;
        self.checkpoints.lock().unwrap().retain(other);
        Ok(Response::new(DeleteCheckpointResponse {}))
    }

    async fn list_checkpoint(
        &self,
        request: Request<ListCheckpointRequest>,
    ) -> Answer<ListCheckpointResponse> {
        let wanted = request.into_inner().checkpoint_dir;
        let checkpoints = self.checkpoints.lock().unwrap();
        let checkpoints = checkpoints.iter().filter(|(dir, _)| *dir == wanted);
        let checkpoints = checkpoints.map(|(_, checkpoint)| checkpoint.clone()).collect();
        Ok(Response::new(ListCheckpointResponse { checkpoints }))
    }
}

//! What the tests of the engine ask a daemon beyond a container's plain life, and the rules that every event log keeps.

use super::api::{Api, EventKey, Events, within};
use super::{SOON, create_request};
use gantry_api::gantry::containers_client::ContainersClient;
use gantry_api::gantry::{Ended, InspectRequest, UpgradeShimsRequest};
use gantry_api::types::{
    Checkpoint, CreateCheckpointRequest, DeleteCheckpointRequest, Event, EventsRequest,
    ListCheckpointRequest, StatsRequest, StatsResponse, UpdateContainerRequest, UpdateProcessRequest,
    UpdateResource,
};
use gantry_testkit::{Bundle, Process};
use prost_types::Timestamp;
use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use tonic::Status;

/// SIGKILL, and what a process that it ended is reported with.
pub(crate) const SIGKILL: u32 = 9;
pub(crate) const KILLED: u32 = 137;
/// What is reported when nobody could know.
pub(crate) const UNKNOWN: u32 = 255;

// === impl Api ===

impl Api {
    /// Creates a container with its streams at `/dev/null` and returns its init on the host.
    pub(crate) fn run(&self, bundle: &Bundle) -> Process {
        let container = self.create(create_request(bundle)).unwrap();
        host_process(container.processes[0].system_pid)
    }

    /// The same for one that may have ended before anybody looks.
    pub(crate) fn run_short(&self, bundle: &Bundle) {
        self.create(create_request(bundle)).unwrap();
    }

    /// Everything that the log holds after `since`, or at all.
    pub(crate) fn stored_events(&self, since: Option<Timestamp>) -> Vec<Event> {
        let timestamp = Some(since.unwrap_or_default());
        self.subscribe(EventsRequest { timestamp, stored_only: true, ..Default::default() }).rest()
    }

    /// Everything that the log holds after `since`, or at all, and then new events.
    pub(crate) fn events_since(&self, since: Option<Timestamp>) -> Events {
        let timestamp = Some(since.unwrap_or_default());
        self.subscribe(EventsRequest { timestamp, ..Default::default() })
    }

    /// Freezes or thaws a container.
    pub(crate) fn set_paused(&self, container: &str, paused: bool) -> Result<(), Status> {
        let status = if paused { "paused" } else { "running" };
        self.update_container(UpdateContainerRequest {
            id: container.to_owned(),
            status: status.to_owned(),
            ..Default::default()
        })
    }

    /// Changes limits.
    pub(crate) fn update(&self, container: &str, resources: UpdateResource) -> Result<(), Status> {
        self.update_container(UpdateContainerRequest {
            id: container.to_owned(),
            resources: Some(resources),
            ..Default::default()
        })
    }

    fn update_container(&self, request: UpdateContainerRequest) -> Result<(), Status> {
        let mut client = self.client();
        self.wait("UpdateContainer", client.update_container(request)).map(drop)
    }

    /// Closes a process's standard input, or sets its terminal's size, or both.
    pub(crate) fn update_process(&self, request: UpdateProcessRequest) -> Result<(), Status> {
        let mut client = self.client();
        self.wait("UpdateProcess", client.update_process(request)).map(drop)
    }

    /// What a container has used.
    pub(crate) fn stats(&self, container: &str) -> Result<StatsResponse, Status> {
        let mut client = self.client();
        let request = StatsRequest { id: container.to_owned() };
        Ok(self.wait("Stats", client.stats(request))?.into_inner())
    }

    /// Writes a checkpoint below `folder`, or below the bundle if that is empty.
    pub(crate) fn checkpoint(
        &self,
        container: &str,
        checkpoint: Checkpoint,
        folder: &str,
    ) -> Result<(), Status> {
        let (id, checkpoint_dir) = (container.to_owned(), folder.to_owned());
        let request = CreateCheckpointRequest { id, checkpoint: Some(checkpoint), checkpoint_dir };
        let mut client = self.client();
        self.wait("CreateCheckpoint", client.create_checkpoint(request)).map(drop)
    }

    /// The checkpoints of a container.
    pub(crate) fn checkpoints(&self, container: &str, folder: &str) -> Result<Vec<Checkpoint>, Status> {
        let (id, checkpoint_dir) = (container.to_owned(), folder.to_owned());
        let mut client = self.client();
        let answer = self
            .wait("ListCheckpoint", client.list_checkpoint(ListCheckpointRequest { id, checkpoint_dir }))?;
        Ok(answer.into_inner().checkpoints)
    }

    /// Removes a checkpoint.
    pub(crate) fn delete_checkpoint(&self, container: &str, name: &str, folder: &str) -> Result<(), Status> {
        let (id, name, checkpoint_dir) = (container.to_owned(), name.to_owned(), folder.to_owned());
        let mut client = self.client();
        let request = DeleteCheckpointRequest { id, name, checkpoint_dir };
        self.wait("DeleteCheckpoint", client.delete_checkpoint(request)).map(drop)
    }

    /// How a container ended.
    pub(crate) fn ended(&self, container: &str) -> Result<Ended, Status> {
        let mut client = ContainersClient::new(self.channel.clone());
        let request = InspectRequest { id: container.to_owned() };
        let answer = self.wait("Inspect", client.inspect(request))?;
        Ok(answer.into_inner().ended.expect("a record in the answer"))
    }

    /// Replaces the shims of a container; an error if one of them stays.
    pub(crate) fn upgrade_shims(&self, container: &str) -> Result<(), Status> {
        let mut client = ContainersClient::new(self.channel.clone());
        let request = UpgradeShimsRequest { id: container.to_owned() };
        let shims = self.wait("UpgradeShims", client.upgrade_shims(request))?.into_inner().shims;
        let problem = shims.into_iter().map(|shim| shim.error).find(|error| !error.is_empty());
        problem.map_or(Ok(()), |error| Err(Status::internal(error)))
    }

    /// The word for what a container is doing, and the ids of its processes; `None` when it is not listed.
    pub(crate) fn find(&self, container: &str) -> Option<(String, Vec<String>)> {
        let found = self.state("").unwrap().into_iter().find(|found| found.id == container)?;
        let mut processes: Vec<String> = found.processes.into_iter().map(|process| process.pid).collect();
        processes.sort();
        Some((found.status, processes))
    }
}

// === impl Events ===

impl Events {
    /// What comes until the stream ends, in whichever way.
    pub(crate) fn rest(mut self) -> Vec<Event> {
        let runtime = Arc::clone(&self.runtime);
        let read = async {
            let mut events = Vec::new();
            while let Ok(Some(event)) = self.stream.message().await {
                events.push(event);
            }
            events
        };
        within(&runtime, "the end of the events' stream", SOON, read)
    }

    /// The next exit of a container: its id and status.
    pub(crate) fn next_exit(&mut self) -> (String, u32) {
        self.next_exit_where(|process| process == "init").0
    }

    /// The next exit of an exec: its id and status.
    pub(crate) fn next_exec_exit(&mut self) -> (String, u32) {
        self.next_exit_where(|process| process != "init").1
    }

    fn next_exit_where(&mut self, is_meant: impl Fn(&str) -> bool) -> ((String, u32), (String, u32)) {
        loop {
            let (kind, container, process, status) = self.next_key();
            if kind == "exit" && is_meant(&process) {
                return ((container, status), (process, status));
            }
        }
    }

    /// The next events up to and with the exit of a process, as what tests compare.
    pub(crate) fn up_to_exit_of(&mut self, container: &str, process: &str) -> Vec<EventKey> {
        let mut keys = Vec::new();
        loop {
            let key = self.next_key();
            let last = key.0 == "exit" && key.1 == container && key.2 == process;
            keys.push(key);
            if last {
                return keys;
            }
        }
    }
}

/// A process that was just started, as the host sees it.
pub(crate) fn host_process(pid: u32) -> Process {
    Process::of(i32::try_from(pid).unwrap()).unwrap_or_else(|| panic!("process {pid} does not run"))
}

/// The shim beside a process: its parent.
pub(crate) fn shim_of(process: &Process) -> Process {
    let shim = process.parent().and_then(Process::of).expect("a running parent");
    assert!(shim.command.contains("gantry-shim"), "the parent is no shim: {shim:?}");
    shim
}

/// Whether the kernel tells how a process ended that is no child (Linux 6.15).
pub(crate) fn tells_status_of_orphans() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()) >= (6, 15)
}

/// Insists on what holds for every log: each process's start and exit take turns, a start first; no exec starts or
/// ends outside of its container's life.
#[track_caller]
pub(crate) fn assert_starts_and_exits_match(events: &[Event]) {
    let mut running = BTreeSet::new();
    for event in events {
        let id = event.id.as_str();
        let key = (id, if event.pid.is_empty() { "init" } else { &event.pid });
        let fits = match event.r#type.as_str() {
            "start-container" => running.insert(key),
            "start-process" => running.contains(&(id, "init")) && running.insert(key),
            "exit" if key.1 == "init" => {
                running.remove(&key) && !running.iter().any(|(container, _)| *container == id)
            }
            "exit" => running.contains(&(id, "init")) && running.remove(&key),
            _ => running.contains(&(id, "init")),
        };
        assert!(fits, "{event:?} does not fit in:\n{}", shown(events));
    }
}

/// The events, one a line.
pub(crate) fn shown(events: &[Event]) -> String {
    let line = |event: &Event| {
        format!("  {} {} {} {}", event.r#type, event.id, event.pid, event.status).trim_end().to_owned()
    };
    events.iter().map(line).collect::<Vec<_>>().join("\n")
}

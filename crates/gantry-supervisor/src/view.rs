//! What others may see of a container: a snapshot that its task replaces at each change, so that looking never
//! waits for a container that is busy or stuck.

use gantry_container::Container;
use gantry_container::process::Identity;
use gantry_record::{ContainerId, ProcessId};
use std::sync::Arc;

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Init runs.
    Running,
    /// All processes are frozen.
    Paused,
    /// Init does not run: not yet, or not any more.
    Stopped,
}

impl Status {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// A process of a container.
#[derive(Clone, Debug)]
pub struct ProcessView {
    /// `init`, or the exec's id.
    pub id: ProcessId,
    /// Who it is on the host.
    pub identity: Identity,
    /// Its [`ProcessRecord`](gantry_record::ProcessRecord) as JSON.
    pub record: Arc<[u8]>,
}

/// A container.
#[derive(Clone, Debug)]
pub struct ContainerView {
    /// Its id.
    pub id: ContainerId,
    /// Path of the bundle as its client gave it.
    pub bundle: String,
    /// Free text of the client.
    pub labels: Vec<String>,
    /// Name or path of its runtime.
    pub runtime: String,
    /// What it is doing.
    pub status: Status,
    /// Its processes that run, sorted by id.
    pub processes: Vec<ProcessView>,
    /// Pids on the host, init's first; only in answers to `State`, and only while init runs.
    pub pids: Vec<u32>,
}

impl ContainerView {
    /// A container of which nothing runs yet.
    #[must_use]
    pub fn of(container: &Container) -> Self {
        let record = container.record();
        Self {
            id: container.id().clone(),
            bundle: record.bundle.clone(),
            labels: record.labels.clone(),
            runtime: record.runtime.clone(),
            status: Status::Stopped,
            processes: Vec::new(),
            pids: Vec::new(),
        }
    }

    /// Init's process, if it runs.
    #[must_use]
    pub fn init(&self) -> Option<&ProcessView> {
        self.processes.iter().find(|process| process.id.is_init())
    }
}

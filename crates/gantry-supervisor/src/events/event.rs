//! One thing that happened to a container.

use super::Timestamp;
use gantry_container::process::Identity;
use serde::{Deserialize, Serialize};

/// What happened; the names are the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// Init runs.
    StartContainer,
    /// An exec runs.
    StartProcess,
    /// A process has ended.
    Exit,
    /// All processes were frozen.
    Pause,
    /// All processes were thawed.
    Resume,
    /// The kernel killed a process for want of memory.
    Oom,
}

impl EventKind {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StartContainer => "start-container",
            Self::StartProcess => "start-process",
            Self::Exit => "exit",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Oom => "oom",
        }
    }
}

/// Which process on the host an event is about: with it a daemon that was killed between two steps can tell
/// whether an event was already logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessKey {
    /// The pid on the host.
    pub system_pid: i32,
    /// Clock ticks since boot.
    pub start_time: u64,
}

impl ProcessKey {
    /// The key of a process. An unknown start time is 0: together with the container's and the process's id
    /// that is still one process.
    #[must_use]
    pub fn of(identity: &Identity) -> Self {
        Self { system_pid: identity.pid, start_time: identity.start_time.unwrap_or_default() }
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The container.
    pub container: String,
    /// The process for [`EventKind::StartProcess`] and [`EventKind::Exit`], else empty.
    pub process: String,
    /// The exit status for [`EventKind::Exit`], else 0.
    pub status: u32,
    /// When, strictly increasing along the log.
    pub timestamp: Timestamp,
    /// The process on the host, for starts and exits.
    pub key: Option<ProcessKey>,
}

impl Event {
    /// An event about a container as a whole. Its time is given by the log.
    #[must_use]
    pub fn of_container(kind: EventKind, container: &str) -> Self {
        Self {
            kind,
            container: container.to_owned(),
            process: String::new(),
            status: 0,
            timestamp: Timestamp::default(),
            key: None,
        }
    }
}

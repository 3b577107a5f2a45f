//! Replacing the shims of a container while it runs.

use crate::actor::Command;
use crate::error::Result;
use crate::supervisor::Supervisor;
use gantry_container::handover::Replaced;
use gantry_record::ProcessId;
use tokio::sync::oneshot;

/// What has become of the shim of one process.
#[derive(Debug)]
pub struct ReplacedShim {
    /// The process.
    pub process: ProcessId,
    /// The shims' pids, or why the old one stays.
    pub result: Result<Replaced>,
}

impl Supervisor {
    /// Replaces the shims of a container's processes by the one that is installed now, while they run.
    ///
    /// # Errors
    /// When there is no such container; what has become of each shim is in the answer.
    pub async fn replace_shims(&self, container: &str) -> Result<Vec<ReplacedShim>> {
        let entry = self.entry(container).await?;
        let (reply, answer) = oneshot::channel();
        self.ask(container, &entry, Command::ReplaceShims { reply }, answer).await
    }
}

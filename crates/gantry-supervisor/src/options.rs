//! What a supervisor and a container are made with.

use crate::traces::TraceSender;
use gantry_container::spec::no_nul;
use gantry_container::{Settings, Stdio};
use gantry_oci::Runtime;
use std::path::PathBuf;
use std::time::Duration;

/// What a supervisor is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// What holds for all containers.
    pub settings: Settings,
    /// Events that are kept, 0 for all.
    pub retain_events: usize,
    /// Starts that may run at once.
    pub start_workers: usize,
    /// Where traces of starts go, if anybody wants them.
    pub traces: Option<TraceSender>,
}

/// What can be changed while the supervisor works; it holds for containers that are made from then on.
#[derive(Clone, Debug)]
pub struct Reconfigure {
    /// The runtime of containers that name none.
    pub runtime: Runtime,
    /// The longest that a start may take.
    pub start_timeout: Duration,
    /// Events that are kept, 0 for all.
    pub retain_events: usize,
}

/// A request for a new container.
#[derive(Clone, Debug, Default)]
pub struct CreateRequest {
    /// Its id, unchecked.
    pub id: String,
    /// Path of its bundle.
    pub bundle: String,
    /// Where init's standard streams go.
    pub stdio: Stdio,
    /// Free text.
    pub labels: Vec<String>,
    /// A runtime other than the daemon's default.
    pub runtime: Option<Runtime>,
    /// Do not use `pivot_root`.
    pub no_pivot_root: bool,
    /// Folder of the checkpoint to restore from.
    pub checkpoint: Option<PathBuf>,
}

impl CreateRequest {
    /// Insists that what becomes a path or an argument can be one.
    pub(crate) fn check(&self) -> gantry_container::Result<()> {
        no_nul("the bundle path", &self.bundle)?;
        if let Some(runtime) = &self.runtime {
            no_nul("the runtime", &runtime.program)?;
            runtime.args.iter().try_for_each(|arg| no_nul("an argument of the runtime", arg))?;
        }
        match &self.checkpoint {
            Some(folder) => no_nul("the checkpoint", &folder.to_string_lossy()),
            None => Ok(()),
        }
    }
}

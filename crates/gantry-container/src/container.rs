//! A container: a folder, a bundle, a runtime, and what can be done to it as a whole.

use crate::bundle::{self, Bundle};
use crate::cgroup::Cgroups;
use crate::consoles::Consoles;
use crate::error::{Error, Result};
use crate::orphans::Orphans;
use crate::resident::Resident;
use crate::resources::Resources;
use crate::runtime;
use crate::spec::{ExecSpec, Stdio};
use gantry_oci::{Runtime, RuntimeError};
use gantry_record::layout::name;
use gantry_record::{
    ContainerDir, ContainerId, ContainerRecord, ProcessId, ProcessRecord, StateDir, failpoint,
};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What holds for all containers of a daemon.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where records live.
    pub state: StateDir,
    /// The runtime of containers that name none.
    pub runtime: Runtime,
    /// Name or path of the shim.
    pub shim: String,
    /// What forks shims and runs the built-in runtime without an execve for each, where that is wanted.
    pub resident: Option<Arc<Resident>>,
    /// The longest that a start may take.
    pub start_timeout: Duration,
    /// What becomes of a process whose shim dies.
    pub on_shim_death: OnShimDeath,
    /// This host's cgroups.
    pub cgroups: Cgroups,
    /// What is known of the runtimes' ways to a terminal.
    pub consoles: Consoles,
    /// What becomes of the children of shims that are gone.
    pub orphans: Arc<Orphans>,
}

/// What becomes of a process whose shim dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnShimDeath {
    /// It is killed and its exit reported as 137, as in 0.2.
    #[default]
    Kill,
    /// It lives on beside a new shim.
    Adopt,
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct NewContainer {
    /// Its id.
    pub id: ContainerId,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// Free text.
    pub labels: Vec<String>,
    /// A runtime other than the daemon's default.
    pub runtime: Option<Runtime>,
    /// See [`ContainerRecord::no_pivot_root`].
    pub no_pivot_root: bool,
}

/// A container that has a folder.
#[derive(Clone, Debug)]
pub struct Container {
    id: ContainerId,
    dir: ContainerDir,
    record: ContainerRecord,
    runtime: Runtime,
    settings: Arc<Settings>,
}

impl Container {
    /// Makes the container's folder and record. The bundle was checked by whoever opened it.
    ///
    /// # Errors
    /// [`crate::Error::Record`] with kind `AlreadyExists` when the id is in use, or what failed.
    pub fn create(settings: Arc<Settings>, new: NewContainer) -> Result<Self> {
        let runtime = new.runtime.unwrap_or_else(|| settings.runtime.clone());
        let record = ContainerRecord {
            bundle: new.bundle.to_string_lossy().into_owned(),
            labels: new.labels,
            runtime: runtime.program.clone(),
            runtime_args: runtime.args.clone(),
            shim: settings.shim.clone(),
            no_pivot_root: new.no_pivot_root,
            ..ContainerRecord::default()
        };
        let dir = settings.state.container(&new.id);
        dir.create(&record)?;
        failpoint::at("daemon::init::folder");
        Ok(Self { id: new.id, dir, record, runtime, settings })
    }

    /// Reads a container back from its folder.
    ///
    /// # Errors
    /// [`crate::Error::Record`] when `state.json` is missing or damaged.
    pub fn load(settings: Arc<Settings>, id: ContainerId) -> Result<Self> {
        let dir = settings.state.container(&id);
        let record = dir.load()?;
        let runtime = if record.runtime.is_empty() {
            settings.runtime.clone()
        } else {
            Runtime::new(record.runtime.clone(), record.runtime_args.clone())
        };
        Ok(Self { id, dir, record, runtime, settings })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// Its folder below the state dir.
    #[must_use]
    pub fn dir(&self) -> &ContainerDir {
        &self.dir
    }

    /// What its client asked for.
    #[must_use]
    pub fn record(&self) -> &ContainerRecord {
        &self.record
    }

    /// The runtime that runs it.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The shim that stands beside its processes.
    pub(crate) fn shim(&self) -> &str {
        if self.record.shim.is_empty() { &self.settings.shim } else { &self.record.shim }
    }

    /// Opens the bundle again.
    ///
    /// # Errors
    /// As [`Bundle::open`].
    pub fn bundle(&self) -> Result<Bundle> {
        Bundle::open(Path::new(&self.record.bundle))
    }

    /// What the shim of init is told.
    #[must_use]
    pub fn init_record(&self, bundle: &Bundle, stdio: &Stdio, checkpoint: Option<&Path>) -> ProcessRecord {
        let mut record = self.process_record(bundle, bundle.process().clone(), stdio);
        record.checkpoint = checkpoint.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        record
    }

    /// What the shim of an exec is told.
    #[must_use]
    pub fn exec_record(&self, bundle: &Bundle, exec: &ExecSpec) -> ProcessRecord {
        let mut record = self.process_record(bundle, exec.to_oci(bundle), &exec.stdio);
        record.exec = true;
        record
    }

    fn process_record(&self, bundle: &Bundle, process: Map<String, Value>, stdio: &Stdio) -> ProcessRecord {
        let (root_uid, root_gid) = bundle.root_ids();
        let mut record = ProcessRecord {
            runtime_args: self.runtime.args.clone(),
            no_pivot_root: self.record.no_pivot_root,
            root_uid,
            root_gid,
            ..ProcessRecord::of(process)
        };
        stdio.write_to(&mut record);
        record
    }

    /// Freezes all processes.
    ///
    /// # Errors
    /// [`RuntimeError`] with the runtime's words.
    pub async fn pause(&self) -> Result<(), RuntimeError> {
        self.run("pause", self.runtime.pause(&self.id), None).await.map(drop)
    }

    /// Thaws all processes.
    ///
    /// # Errors
    /// [`RuntimeError`] with the runtime's words.
    pub async fn resume(&self) -> Result<(), RuntimeError> {
        self.run("resume", self.runtime.resume(&self.id), None).await.map(drop)
    }

    /// Changes limits.
    ///
    /// # Errors
    /// What the runtime printed, which for a value that the kernel refuses is the kernel's reason.
    pub async fn update(&self, resources: &Resources) -> Result<()> {
        let json = resources.to_oci().to_string();
        match self.run("update", self.runtime.update(&self.id), Some(json.as_bytes())).await {
            Ok(_) => Ok(()),
            Err(RuntimeError::Failed { output, .. }) if !output.trim().is_empty() => {
                Err(Error::Update(output))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The host pids of all processes.
    ///
    /// # Errors
    /// [`RuntimeError`] with the runtime's words.
    pub async fn pids(&self) -> Result<Vec<u32>, RuntimeError> {
        let json = self.run("ps", self.runtime.ps(&self.id), None).await?;
        // runc prints `null` for an empty list.
        let pids: Option<Vec<u32>> = serde_json::from_slice(&json).map_err(|e| RuntimeError::Output {
            operation: "ps",
            id: self.id.clone(),
            reason: e.to_string(),
        })?;
        Ok(pids.unwrap_or_default())
    }

    /// Makes the runtime forget the container, unless its shim has done so; a runtime that does not know it
    /// (any more) is fine.
    ///
    /// # Errors
    /// [`RuntimeError`] with the runtime's words.
    pub async fn delete_from_runtime(&self) -> Result<(), RuntimeError> {
        if self.dir.process(&ProcessId::init()).file(name::DELETED).exists() {
            return Ok(());
        }
        let deleted = runtime::delete(&self.runtime, self.settings.resident.as_deref(), &self.id).await;
        // One that was killed while it made or removed them leaves cgroups that it no longer knows of.
        if let Some(path) = bundle::cgroups_path(Path::new(&self.record.bundle)) {
            self.settings.cgroups.remove_left(&path).await;
        }
        deleted
    }

    async fn run(
        &self,
        operation: &'static str,
        command: std::process::Command,
        input: Option<&[u8]>,
    ) -> Result<Vec<u8>, RuntimeError> {
        let resident = self.settings.resident.as_deref();
        runtime::run(&self.runtime, resident, operation, &self.id, command, input, runtime::LIMIT).await
    }
}

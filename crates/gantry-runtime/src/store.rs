//! What is kept on disk: one directory per container below `--root`.
//!
//! | file | content |
//! | --- | --- |
//! | `config.json` | the configuration as it was in the bundle at creation; exec and delete go by it |
//! | `state.json` | [`Record`]: the OCI state and what else belongs to the container |
//! | `notify.sock` | the container's first process waits here for `start`; gone once it was started |
//! | `start.fifo` | where that process tells `start` why it could not run the command; gone likewise |
//!
//! The directory appears first (making it is what claims the id), `state.json` last, whole, when the process waits.

use gantry_record::failpoint;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use gantry_record::atomic;
use oci_spec::runtime::Spec;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;
use crate::error::{Error, Result, file};
use crate::id::ContainerId;
use crate::process::Identity;

/// Where a container is in its life, in the words of the OCI specification and runc's `paused`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

/// The content of `state.json`: the OCI state, runc's additions to it, and the process's start time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) oci_version: String,
    pub(crate) id: String,
    pub(crate) pid: i32,
    /// What was true when this was written; [`Container::status`] knows what is true now.
    pub(crate) status: Status,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    /// RFC 3339.
    pub(crate) created: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) owner: String,
    pub(crate) init_process_start: u64,
}

impl Record {
    /// The container's first process, if the record names one.
    pub(crate) fn init(&self) -> Option<Identity> {
        // A negative number is a group's for kill(2), and -1 everybody's.
        let pid = Pid::from_raw(self.pid.max(0))?;
        Some(Identity { pid, start_time: self.init_process_start })
    }
}

/// The directory of all containers.
pub(crate) struct Store {
    root: PathBuf,
}

impl Store {
    /// The store below `root`, which need not exist yet.
    pub(crate) fn new(root: &Path) -> Result<Self> {
        let root = std::path::absolute(root).map_err(file("make absolute", root))?;
        Ok(Self { root })
    }

    /// Claims an id by making its directory.
    pub(crate) fn claim(&self, id: &ContainerId) -> Result<ContainerDir> {
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700);
        let dir = self.dir(id);
        failpoint::io("runtime::claim::make")
            .map_err(|e| file("create container directory", &dir.path)(e.into()))?;
        match builder.create(&dir.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut parents = fs::DirBuilder::new();
                parents.recursive(true).mode(0o711);
                parents.create(&self.root).map_err(file("create state directory", &self.root))?;
                builder.create(&dir.path)
            }
            other => other,
        }
        .map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => Error::AlreadyExists { id: id.to_string() },
            _ => file("create container directory", &dir.path)(source),
        })?;
        Ok(dir)
    }

    /// The directory of a container that exists.
    pub(crate) fn find(&self, id: &ContainerId) -> Result<ContainerDir> {
        let dir = self.dir(id);
        if dir.path.is_dir() { Ok(dir) } else { Err(Error::DoesNotExist { id: id.to_string() }) }
    }

    /// A container whose creation is complete.
    pub(crate) fn load(&self, id: &ContainerId) -> Result<Container> {
        let dir = self.find(id)?;
        let record = dir.record()?.ok_or_else(|| Error::Incomplete { id: id.to_string() })?;
        Ok(Container { dir, record })
    }

    /// The ids of all containers, sorted. What is no container's directory is left out.
    pub(crate) fn ids(&self) -> Result<Vec<ContainerId>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(file("read state directory", &self.root))?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(file("read state directory", &self.root))?;
            if let Some(Ok(id)) = entry.file_name().to_str().map(str::parse)
                && entry.path().is_dir()
            {
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }

    fn dir(&self, id: &ContainerId) -> ContainerDir {
        ContainerDir { id: id.clone(), path: self.root.join(id.as_str()) }
    }
}

/// The directory of one container.
#[derive(Clone, Debug)]
pub(crate) struct ContainerDir {
    pub(crate) id: ContainerId,
    pub(crate) path: PathBuf,
}

impl ContainerDir {
    /// The socket at which the first process waits for `start`.
    pub(crate) fn notify_socket(&self) -> PathBuf {
        self.path.join("notify.sock")
    }

    /// The FIFO on which the first process tells why it could not run the command.
    pub(crate) fn start_fifo(&self) -> PathBuf {
        self.path.join("start.fifo")
    }

    /// Keeps the configuration as the client wrote it.
    pub(crate) fn save_config(&self, json: &[u8]) -> Result<()> {
        let path = self.path.join("config.json");
        failpoint::io("runtime::config::write").map_err(|e| file("write", &path)(e.into()))?;
        fs::write(&path, json).map_err(file("write", path))
    }

    /// The configuration that was kept. Nothing if creation was interrupted before that.
    pub(crate) fn config(&self) -> Result<Option<Spec>> {
        let path = self.path.join("config.json");
        read(&path)?.map(|json| crate::bundle::parse(&path, &json)).transpose()
    }

    /// Writes `state.json`, whole or not at all.
    pub(crate) fn save_record(&self, record: &Record) -> Result<()> {
        let (temporary, path) = (self.path.join(".state.json"), self.path.join("state.json"));
        let json =
            serde_json::to_vec(record).map_err(|source| Error::Parse { path: path.clone(), source })?;
        failpoint::io("runtime::record::write").map_err(|e| file("write", &temporary)(e.into()))?;
        fs::write(&temporary, json).map_err(file("write", &temporary))?;
        failpoint::io("runtime::record::rename").map_err(|e| file("rename to", &path)(e.into()))?;
        fs::rename(&temporary, &path).map_err(file("rename to", path))
    }

    /// Reads `state.json`. Nothing if creation is not complete.
    pub(crate) fn record(&self) -> Result<Option<Record>> {
        let path = self.path.join("state.json");
        let Some(json) = read(&path)? else { return Ok(None) };
        serde_json::from_slice(&json).map(Some).map_err(|source| Error::Parse { path, source })
    }

    /// Removes the directory and with it the container.
    pub(crate) fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(file("remove container directory", &self.path)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Reads a file of the store, if it is there: no link, no FIFO, and not without end.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    atomic::read_optional(path).map_err(|error| file("read", path)(io::Error::other(error.to_string())))
}

/// A container whose creation is complete.
pub(crate) struct Container {
    pub(crate) dir: ContainerDir,
    pub(crate) record: Record,
}

impl Container {
    /// Its id.
    pub(crate) fn id(&self) -> String {
        self.dir.id.to_string()
    }

    /// Its configuration.
    pub(crate) fn config(&self) -> Result<Spec> {
        self.dir.config()?.ok_or_else(|| Error::Incomplete { id: self.id() })
    }

    /// Its cgroup.
    pub(crate) fn cgroup(&self) -> Result<Cgroup> {
        Cgroup::of_spec(&self.config()?, &self.dir.id)
    }

    /// The first process, if it still runs.
    pub(crate) fn init(&self) -> Option<Identity> {
        self.record.init().filter(|init| init.is_alive())
    }

    /// Where the container is in its life now.
    pub(crate) fn status(&self) -> Result<Status> {
        if self.init().is_none() {
            return Ok(Status::Stopped);
        }
        if self.cgroup()?.is_frozen() {
            return Ok(Status::Paused);
        }
        let waits = self.record.status == Status::Created && self.dir.notify_socket().exists();
        Ok(if waits { Status::Created } else { Status::Running })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pid_names_a_process() {
        for (pid, names) in [(4711, true), (0, false), (-1, false), (i32::MIN, false)] {
            let json = serde_json::json!({
                "ociVersion": "1.2.0", "id": "c1", "pid": pid, "status": "running", "bundle": "/b", "rootfs": "/r",
                "created": "", "owner": "", "initProcessStart": 7
            });
            let record: Record = serde_json::from_value(json).unwrap();
            assert_eq!(record.init().is_some(), names, "{pid}");
        }
    }

    #[test]
    fn an_id_is_claimed_once_and_found_until_removed() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(&root.path().join("deep/root")).unwrap();
        let id: ContainerId = "c1".parse().unwrap();
        assert!(matches!(store.find(&id), Err(Error::DoesNotExist { .. })));
        let dir = store.claim(&id).unwrap();
        assert!(matches!(store.claim(&id), Err(Error::AlreadyExists { .. })));
        assert!(matches!(store.load(&id), Err(Error::Incomplete { .. })));
        assert_eq!(store.ids().unwrap(), std::slice::from_ref(&id));
        dir.remove().unwrap();
        assert!(store.ids().unwrap().is_empty());
        dir.remove().unwrap();
    }
}

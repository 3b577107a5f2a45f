//! What CRIU is told to leave outside.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};

use crate::cgroup::Cgroup;
use crate::error::{Result, file};

const NULL: &str = "/dev/null";
/// Namespaces that CRIU can take from outside, with their names in `/proc/PID/ns` and in CRIU's keys (runc's too).
const NAMESPACES: [(LinuxNamespaceType, &str, &str); 2] =
    [(LinuxNamespaceType::Network, "net", "extRootNetNS"), (LinuxNamespaceType::Pid, "pid", "extRootPidNS")];

/// A mount that comes from outside.
pub(crate) struct ExternalMount {
    /// Where it is in the container.
    pub(crate) destination: String,
    /// What the images call it.
    pub(crate) name: String,
    /// Where it is on the host.
    pub(crate) source: String,
}

/// The parts of a container that are not its own.
pub(crate) struct External {
    pub(crate) mounts: Vec<ExternalMount>,
    /// The kind, CRIU's key for it, and the namespace.
    pub(crate) namespaces: Vec<(&'static str, &'static str, OwnedFd)>,
}

impl External {
    /// Reads them from a configuration. `root` shows the files of a container that runs: whether a mask covers a file or a
    /// directory is seen there. To restore one it is enough to know that the images may have it.
    pub(crate) fn of(spec: &Spec, cgroup: &Cgroup, root: Option<&Path>) -> Result<Self> {
        let mut mounts = Vec::new();
        for mount in spec.mounts().iter().flatten() {
            if is_bind(mount) {
                mounts.push(ExternalMount::named(mount.destination(), mount.source().as_deref()));
            } else if mount.typ().as_deref() == Some("cgroup") && !cgroup.is_v2() {
                for view in cgroup.views() {
                    let Some(name) = view.mount_point.file_name() else { continue };
                    let destination = mount.destination().join(name);
                    mounts.push(ExternalMount::named(&destination, Some(&view.directory)));
                }
            }
        }
        let linux = spec.linux().as_ref();
        let masked = linux.and_then(|linux| linux.masked_paths().as_ref());
        for path in masked.into_iter().flatten() {
            // A directory is covered by a file system of the container's own.
            let covers_file = |root: &Path| {
                let inside = root.join(path.trim_start_matches('/'));
                fs::metadata(inside).is_ok_and(|metadata| !metadata.is_dir())
            };
            if root.is_none_or(covers_file) {
                mounts.push(ExternalMount {
                    destination: path.clone(),
                    name: NULL.to_owned(),
                    source: NULL.to_owned(),
                });
            }
        }
        let mut namespaces = Vec::new();
        let listed = linux.and_then(|linux| linux.namespaces().as_ref());
        for namespace in listed.into_iter().flatten() {
            let Some(path) = namespace.path().as_ref().filter(|path| !path.as_os_str().is_empty()) else {
                continue;
            };
            if let Some((_, name, key)) = NAMESPACES.iter().find(|(kind, ..)| *kind == namespace.typ()) {
                let opened = File::open(path).map_err(file("open namespace", path))?;
                namespaces.push((*name, *key, opened.into()));
            }
        }
        Ok(Self { mounts, namespaces })
    }

    /// The namespaces as CRIU names them when it saves: `net[4026532008]:extRootNetNS`.
    pub(crate) fn namespace_keys(&self) -> Result<Vec<String>> {
        let key = |(name, key, namespace): &(&str, &str, OwnedFd)| {
            let step = || file("look at namespace", *name);
            let namespace = File::from(namespace.try_clone().map_err(step())?);
            let number = namespace.metadata().map_err(step())?.ino();
            Ok(format!("{name}[{number}]:{key}"))
        };
        self.namespaces.iter().map(key).collect()
    }
}

impl ExternalMount {
    fn named(destination: &Path, source: Option<&Path>) -> Self {
        let destination = destination.display().to_string();
        let source = source.map(|source| source.display().to_string()).unwrap_or_default();
        Self { name: destination.clone(), destination, source }
    }
}

fn is_bind(mount: &Mount) -> bool {
    mount.typ().as_deref() == Some("bind")
        || mount.options().iter().flatten().any(|option| option == "bind" || option == "rbind")
}

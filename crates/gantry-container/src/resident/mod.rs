//! The daemon's resident parent, from which shims and commands of the built-in runtime are forked
//! ([`gantry_record::resident`]).
//!
//! Nothing depends on it: whatever it cannot do just now is done by executing the program, which is slower and takes more
//! memory. It is started when it is first wanted, and again after it died. What it has forked does not need it any more.

mod connection;

pub(crate) use connection::{Command, Forked};

use crate::program;
use connection::Connection;
use gantry_record::resident::{Request, Shim};
use std::ffi::OsString;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{debug, warn};

/// How long to do without after one that could not be started.
const PAUSE: Duration = Duration::from_secs(60);
/// How soon after its start one that died counts as one that could not be started.
const TOO_SHORT: Duration = Duration::from_secs(1);

/// The name of the program that can be a resident parent.
const PROGRAM: &str = "gantry-runtime";
/// The name of the shim that it has in it.
const SHIM: &str = "gantry-shim";

/// The resident parent of one daemon.
pub struct Resident {
    /// Without links in it.
    program: PathBuf,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    connection: Option<Arc<Connection>>,
    since: Option<Instant>,
    not_before: Option<Instant>,
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resident").field("program", &self.program).finish_non_exhaustive()
    }
}

impl Resident {
    /// The parent that stands in for `shim` (name or path), if that is Gantry's own and the built-in runtime was installed
    /// beside it.
    #[must_use]
    pub fn for_shim(shim: &str) -> Option<Self> {
        let program = find(shim, SHIM)?.with_file_name(PROGRAM);
        program.is_file().then(|| Self { program, current: Mutex::default() })
    }

    /// Starts it, so that the first container need not wait for that.
    pub async fn warm_up(&self) {
        let _ = self.connection().await;
    }

    /// Whether a runtime of this name or path is the one that the parent has in it.
    pub(crate) fn is(&self, runtime: &str) -> bool {
        Path::new(runtime) == self.program
            || find(runtime, PROGRAM).is_some_and(|program| program == self.program)
    }

    /// Forks a shim that has `ready` as its standard output. `None` if one has to be executed instead.
    pub(crate) async fn shim(&self, shim: Shim, ready: OwnedFd) -> Option<Forked> {
        let connection = self.connection().await?;
        connection.shim(&Request::Shim(shim), ready).await
    }

    /// Runs a command of the built-in runtime with these standard streams. `None` if it has to be executed instead.
    pub(crate) async fn run(&self, arguments: Vec<OsString>, streams: [&OwnedFd; 3]) -> Option<Command> {
        let connection = self.connection().await?;
        connection.run(&Request::Run(arguments), streams).await
    }

    async fn connection(&self) -> Option<Arc<Connection>> {
        let mut current = self.current.lock().await;
        let now = Instant::now();
        if let Some(connection) = &current.connection {
            if connection.is_alive() {
                return Some(Arc::clone(connection));
            }
            warn!(program = %self.program.display(), "the resident parent of shims has ended; nothing is lost by it");
            current.connection = None;
            if current.since.is_some_and(|since| now - since < TOO_SHORT) {
                current.not_before = Some(now + PAUSE);
            }
        }
        if current.not_before.is_some_and(|at| now < at) {
            return None;
        }
        match Connection::open(&self.program).await {
            Ok(connection) => {
                debug!(program = %self.program.display(), pid = connection.pid(), "shims are forked from a resident parent");
                current.since = Some(now);
                current.connection = Some(Arc::clone(&connection));
                Some(connection)
            }
            Err(error) => {
                let program = self.program.display();
                warn!(%program, %error, "no resident parent for shims; each is executed, which takes more memory");
                current.not_before = Some(now + PAUSE);
                None
            }
        }
    }
}

/// The file that is executed for `given` (name or path), if behind all links it is called `name`.
fn find(given: &str, name: &str) -> Option<PathBuf> {
    let path = program::find(given)?.0.canonicalize().ok()?;
    (path.file_name()? == name).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::symlink;

    #[test]
    fn stands_in_for_gantrys_shim_only_and_knows_its_runtime_by_any_path() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        File::create(path(SHIM)).unwrap();
        assert!(Resident::for_shim(&path(SHIM)).is_none(), "no runtime beside it");
        File::create(path(PROGRAM)).unwrap();
        symlink(SHIM, path("containerd-shim")).unwrap();
        symlink(PROGRAM, path("docker-runc")).unwrap();
        File::create(path("other-shim")).unwrap();
        File::create(path("runc")).unwrap();
        let resident = Resident::for_shim(&path("containerd-shim")).unwrap();
        assert!(resident.is(&path(PROGRAM)) && resident.is(&path("docker-runc")));
        assert!(!resident.is(&path("runc")) && !resident.is("runc") && !resident.is(""));
        assert!(Resident::for_shim(&path("other-shim")).is_none());
        assert!(Resident::for_shim(&path("missing")).is_none());
    }
}

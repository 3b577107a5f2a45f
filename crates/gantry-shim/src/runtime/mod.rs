//! Running the OCI runtime's commands: as somebody else's parent would, except that they die with the shim. The built-in
//! runtime, where it is part of this program, runs in a fork without an execve.

mod command;

pub(crate) use command::Running;

use crate::error::{Error, Result};
use crate::oom::Unprotected;
use crate::sys::Inherited;
use gantry_oci::{Runtime, RuntimeError};
use gantry_record::ContainerId;
use gantry_record::failpoint;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SeekFrom};
use rustix::process::{PidfdFlags, pidfd_open};
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

/// How much of what a runtime printed is kept.
const MAX_OUTPUT_BYTES: u64 = 4096;

/// How long `kill`, `delete` and `state` may take before they are killed.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// A runtime that is part of this program: given a command's arguments without the program's name, it does what the
/// command does, in a process of its own, and returns the exit code.
pub type BuiltIn = fn(&mut dyn Iterator<Item = OsString>) -> u8;

/// The runtime, for one container.
pub(crate) struct Driver {
    runtime: Runtime,
    built_in: Option<BuiltIn>,
    id: ContainerId,
    inherited: Inherited,
}

/// How a short command ended.
pub(crate) struct Outcome {
    /// Its status; a command that took too long was killed.
    pub(crate) status: ExitStatus,
    /// The last of what it printed.
    pub(crate) output: String,
}

impl Driver {
    /// A runtime whose commands get what the shim had `inherited`.
    pub(crate) fn new(
        runtime: Runtime,
        built_in: Option<BuiltIn>,
        id: ContainerId,
        inherited: Inherited,
    ) -> Self {
        Self { runtime, built_in, id, inherited }
    }

    /// The runtime's command lines.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The container.
    pub(crate) fn id(&self) -> &ContainerId {
        &self.id
    }

    /// Starts a command in `folder` with these standard streams; none means `/dev/null`.
    pub(crate) fn spawn(&self, command: Command, folder: &Path, streams: Streams) -> Result<Running> {
        let _unprotected = Unprotected::begin();
        let running = match self.built_in {
            Some(built_in) => Running::fork(built_in, &command, folder, streams, self.inherited),
            None => Running::spawn(command, folder, streams, self.inherited),
        };
        Ok(running.map_err(|e| RuntimeError::spawn(&self.runtime.program, e))?)
    }

    /// Runs a command that answers soon. Other children are left alone meanwhile.
    pub(crate) fn run(&self, command: Command) -> Result<Outcome> {
        let printed = Printed::new()?;
        // Not the bundle, which may be gone, nor the process's folder, for the same reason.
        let streams = [None, Some(printed.end()?), Some(printed.end()?)];
        let mut child = self.spawn(command, Path::new("/"), streams)?;
        failpoint::at("shim::command-spawned");
        if !ends_within(&child, COMMAND_LIMIT) {
            // Failing means that it has ended just now.
            let _ = child.kill();
        }
        let status = child.wait().map_err(Error::Wait)?;
        Ok(Outcome { status, output: printed.tail() })
    }

    /// Kills all that still runs in the container.
    pub(crate) fn kill_all(&self) -> Result<Outcome> {
        self.run(self.runtime.kill_all(&self.id))
    }

    /// Makes the runtime forget the container, whose init has ended.
    pub(crate) fn delete(&self) -> Result<Outcome> {
        self.run(self.runtime.delete(&self.id, false))
    }

    /// Removes what a failed `create` may have left. A container of the same id that belongs to somebody else
    /// (another bundle; our `create` failed because the runtime knows that id) is left alone.
    pub(crate) fn discard(&self, bundle: &Path) {
        let known = self.run(self.runtime.state(&self.id)).ok().filter(|outcome| outcome.status.success());
        if let Some(state) = known
            && bundle_of(&state.output).is_some_and(|theirs| !is_same_folder(&theirs, bundle))
        {
            return;
        }
        // The failure that is being reported is the one before.
        let _ = self.run(self.runtime.delete(&self.id, true));
    }
}

/// Standard input, output and error for a command.
pub(crate) type Streams = [Option<OwnedFd>; 3];

fn bundle_of(state: &str) -> Option<PathBuf> {
    #[derive(serde::Deserialize)]
    struct State {
        bundle: PathBuf,
    }
    // A warning of the runtime's may stand before the object.
    let object = state.get(state.find('{')?..)?;
    let mut objects = serde_json::Deserializer::from_str(object).into_iter::<State>();
    Some(objects.next()?.ok()?.bundle)
}

/// See [`crate::fuzzing`].
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzzing(state: &str) {
    // Whatever a runtime prints after its answer changes nothing about that.
    let bundle = bundle_of(state);
    if bundle.is_some() {
        assert_eq!(bundle, bundle_of(&format!("warning\n{state}{{")));
    }
}

fn is_same_folder(one: &Path, other: &Path) -> bool {
    let identity = |path| rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino));
    one == other || matches!((identity(one), identity(other)), (Ok(a), Ok(b)) if a == b)
}

/// Waits on a pidfd (Linux 5.3); on older kernels there is no deadline.
fn ends_within(child: &Running, limit: Duration) -> bool {
    let pidfd = child.pid().map(|pid| pidfd_open(pid, PidfdFlags::empty()));
    let Some(Ok(pidfd)) = pidfd else { return true };
    let timeout = Timespec::try_from(limit).ok();
    loop {
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            ended => return ended != Ok(0),
        }
    }
}

/// A place in memory for what a command prints, so that no pipe can fill up and no thread must read it.
pub(crate) struct Printed(OwnedFd);

impl Printed {
    /// An empty one.
    pub(crate) fn new() -> Result<Self> {
        let memory = rustix::fs::memfd_create("runtime output", MemfdFlags::CLOEXEC);
        Ok(Self(memory.map_err(Error::setup("memfd_create"))?))
    }

    /// A descriptor to print to.
    pub(crate) fn end(&self) -> Result<OwnedFd> {
        rustix::io::fcntl_dupfd_cloexec(self.0.as_fd(), 0).map_err(Error::setup("dup"))
    }

    /// The last of what was printed.
    pub(crate) fn tail(&self) -> String {
        let mut bytes = vec![0_u8; usize::try_from(MAX_OUTPUT_BYTES).unwrap_or_default()];
        let end = rustix::fs::seek(&self.0, SeekFrom::End(0)).unwrap_or(0);
        let count = rustix::io::pread(&self.0, &mut bytes, end.saturating_sub(MAX_OUTPUT_BYTES)).unwrap_or(0);
        bytes.truncate(count);
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_bundle_behind_a_warning() {
        let state = "level=warning msg=x\n{\"id\":\"a\",\"bundle\":\"/b\"}\n";
        assert_eq!(bundle_of(state), Some(PathBuf::from("/b")));
        assert_eq!(bundle_of("container does not exist"), None);
        assert!(is_same_folder(Path::new("/."), Path::new("/")));
        assert!(!is_same_folder(Path::new("/tmp"), Path::new("/")));
    }

    #[test]
    fn keeps_the_tail() {
        let printed = Printed::new().unwrap();
        rustix::io::write(printed.end().unwrap(), &[b'a'; 5000]).unwrap();
        rustix::io::write(printed.end().unwrap(), b" end\n").unwrap();
        let tail = printed.tail();
        assert!(tail.ends_with("a end") && tail.len() <= 4096, "{}", tail.len());
    }
}

//! `delete`: removes what a container holds: its cgroup, its directory, and the processes that outlived its first one.

use gantry_record::failpoint;
use std::thread;
use std::time::{Duration, Instant};

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::args::Delete;
use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::exit_code::ExitCode;
use crate::hooks;
use crate::id::ContainerId;
use crate::process::Identity;
use crate::signal::SignalNumber;
use crate::store::{Container, ContainerDir, Status, Store};

const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(1);

/// Runs the command.
pub(crate) fn run(store: &Store, args: &Delete) -> Result<ExitCode> {
    match delete(store, &args.id, args.force) {
        // As with runc, forcing away what is not there succeeds.
        Err(Error::DoesNotExist { .. }) if args.force => {}
        other => other?,
    }
    Ok(ExitCode::SUCCESS)
}

fn delete(store: &Store, id: &ContainerId, force: bool) -> Result<()> {
    let dir = store.find(id)?;
    let Some(record) = dir.record()? else {
        return if force { clear_interrupted(&dir) } else { Err(Error::Incomplete { id: id.to_string() }) };
    };
    let container = Container { dir, record };
    match container.status()? {
        Status::Stopped => {}
        // Nothing of the user's runs yet, so runc and crun delete it without being forced.
        Status::Created => end(&container)?,
        _ if force => end(&container)?,
        status => return Err(Error::CannotDelete { id: id.to_string(), status }),
    }
    destroy(&container, &container.config()?)
}

/// Removes what a container holds whose first process has ended.
pub(crate) fn destroy(container: &Container, spec: &Spec) -> Result<()> {
    failpoint::at("runtime::delete::stopped");
    let cgroup = Cgroup::of_spec(spec, &container.dir.id)?;
    if !has_own_pids(spec) {
        cgroup.kill_all()?;
        failpoint::at("runtime::delete::rest-killed");
    }
    cgroup.remove()?;
    failpoint::at("runtime::delete::cgroup-removed");
    container.dir.remove()?;
    failpoint::at("runtime::delete::folder-removed");
    let state = hooks::state(&container.record, Status::Stopped);
    match spec.hooks() {
        Some(hooks) => hooks::run(&container.id(), "poststop", hooks.poststop().as_ref(), &state),
        None => Ok(()),
    }
}

/// Kills all processes and waits for the first one to be gone.
fn end(container: &Container) -> Result<()> {
    container.cgroup()?.kill_all()?;
    failpoint::at("runtime::delete::all-killed");
    let Some(init) = container.record.init() else { return Ok(()) };
    if init.is_alive() {
        // It may have been moved out of the cgroup.
        let _ = init.send(SignalNumber::KILL);
    }
    wait_gone(init, container)
}

/// Waits until a first process that was killed is gone.
pub(super) fn wait_gone(init: Identity, container: &Container) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while init.is_alive() {
        if Instant::now() >= deadline {
            return Err(Error::StillAlive { id: container.id(), seconds: PATIENCE.as_secs() });
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// A creation that never came to its end: whatever it had begun goes.
fn clear_interrupted(dir: &ContainerDir) -> Result<()> {
    if let Some(spec) = dir.config()? {
        let cgroup = Cgroup::of_spec(&spec, &dir.id)?;
        cgroup.kill_all()?;
        failpoint::at("runtime::clear::killed");
        cgroup.remove()?;
    }
    failpoint::at("runtime::clear::cgroup-removed");
    dir.remove()
}

/// Whether the kernel ends all processes with the first one.
fn has_own_pids(spec: &Spec) -> bool {
    spec.linux().iter().flat_map(|linux| linux.namespaces().iter().flatten()).any(|ns| {
        ns.typ() == LinuxNamespaceType::Pid && ns.path().as_ref().is_none_or(|p| p.as_os_str().is_empty())
    })
}

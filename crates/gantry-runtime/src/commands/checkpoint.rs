//! `checkpoint`: has CRIU write a container's processes to disk, and ends it unless it is to run on.

use std::path::Path;

use crate::args::Checkpoint;
use crate::commands::delete;
use crate::criu::{self, External, Saved, Session};
use crate::error::{Error, Result};
use crate::exit_code::ExitCode;
use crate::process::Identity;
use crate::store::{Container, Status, Store};

/// Runs the command.
pub(crate) fn run(store: &Store, args: &Checkpoint) -> Result<ExitCode> {
    args.check()?;
    let container = store.load(&args.id)?;
    let status = container.status()?;
    let init = container.init().filter(|_| matches!(status, Status::Running | Status::Paused));
    let Some(init) = init else {
        return Err(Error::WrongStatus { action: "checkpoint", id: container.id(), status });
    };
    let spec = container.config()?;
    save(&container, init, args)?;
    if !args.leave_running {
        delete::wait_gone(init, &container)?;
        // A supervisor that saw it end may have deleted it by now.
        if store.find(&args.id).is_ok() {
            delete::destroy(&container, &spec)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn save(container: &Container, init: Identity, args: &Checkpoint) -> Result<()> {
    let (spec, cgroup) = (container.config()?, container.cgroup()?);
    let pid = init.pid.as_raw_nonzero().get();
    let images = criu::directory(&args.criu.image_path)?;
    let root = format!("/proc/{pid}/root");
    let external = External::of(&spec, &cgroup, Some(Path::new(&root)))?;
    criu::save_streams(&images, pid)?;
    Saved { cgroup: cgroup.path().display().to_string() }.write(&images)?;

    let mut session = Session::new("checkpoint", &container.id(), &images, "dump.log", &args.criu)?;
    for mount in &external.mounts {
        session.criu.set_external_mount(mount.destination.clone(), mount.name.clone());
    }
    for key in external.namespace_keys()? {
        session.criu.add_external(key);
    }
    session.criu.set_pid(pid);
    session.criu.set_root(container.record.rootfs.display().to_string());
    session.criu.set_leave_running(args.leave_running);
    if let Some(freezer) = cgroup.freezer() {
        session.criu.set_freeze_cgroup(freezer.display().to_string());
    }
    session.dump()
}

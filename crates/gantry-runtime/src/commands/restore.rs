//! `restore`: has CRIU make a container from a checkpoint. Its processes go on where they were.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Process, Spec};
use rustix::io::FdFlags;
use rustix::mount::{UnmountFlags, mount_bind_recursive, unmount};
use rustix::process::Pid;

use crate::args::Restore;
use crate::bundle::Bundle;
use crate::cgroup::Cgroup;
use crate::commands::create::new_record;
use crate::commands::delete;
use crate::console;
use crate::criu::{self, External, Saved, Session};
use crate::error::{Error, Result, file, mount, system};
use crate::exit_code::ExitCode;
use crate::foreground::Foreground;
use crate::launch::kill_and_reap;
use crate::pid_file;
use crate::process::Identity;
use crate::store::{Container, ContainerDir, Status, Store};

/// Runs the command.
pub(crate) fn run(store: &Store, args: &Restore) -> Result<ExitCode> {
    args.check()?;
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot("restore containers"));
    }
    let images = &args.criu.image_path;
    let images = fs::canonicalize(images).map_err(file("find the images in", images))?;
    let bundle = Bundle::load(&args.new.bundle)?;
    let terminal = bundle.spec.process().as_ref().and_then(Process::terminal).unwrap_or(false);
    if terminal && args.detach && args.new.console_socket.is_none() {
        let reason = "cannot restore a terminal for a detached process without --console-socket";
        return Err(Error::Usage(reason.to_owned()));
    }
    let foreground = if args.detach { None } else { Some(Foreground::hold_signals()?) };
    let cgroup = Cgroup::of_spec(&bundle.spec, &args.id)?;
    check_place(&images, &cgroup)?;
    let dir = store.claim(&args.id)?;
    let restored = build(&dir, args, &images, &bundle, &cgroup);
    if restored.is_err() {
        let _ = cgroup.kill_all();
        let _ = cgroup.remove();
        let _ = dir.remove();
    }
    let (container, init, master) = restored?;
    let Some(foreground) = foreground else { return Ok(ExitCode::SUCCESS) };
    let status = foreground.wait(init, master);
    if status.is_err() {
        kill_and_reap(init);
    }
    delete::destroy(&container, &bundle.spec)?;
    status
}

/// CRIU puts processes back into the cgroup that they were in.
fn check_place(images: &Path, cgroup: &Cgroup) -> Result<()> {
    let here = cgroup.path().display().to_string();
    match Saved::read(images)? {
        Some(saved) if saved.cgroup != here => Err(Error::Unsupported(format!(
            "restoring in cgroup {here:?} what was saved in {:?}: set linux.cgroupsPath to that",
            saved.cgroup
        ))),
        _ => Ok(()),
    }
}

fn build(
    dir: &ContainerDir,
    args: &Restore,
    images: &Path,
    bundle: &Bundle,
    cgroup: &Cgroup,
) -> Result<(Container, Identity, Option<OwnedFd>)> {
    dir.save_config(&bundle.json)?;
    cgroup.create()?;
    if let Some(resources) = bundle.spec.linux().as_ref().and_then(|linux| linux.resources().as_ref()) {
        cgroup.limit(resources)?;
    }
    let root = MountedRoot::new(&bundle.rootfs, dir.path.join("criu-root"))?;
    let session = session(args, images, &bundle.spec, cgroup, &root)?;
    let (pid, master) = session.restore()?;
    drop(root);
    let pid = Pid::from_raw(pid).ok_or_else(|| Error::Criu {
        step: "restore",
        id: args.id.to_string(),
        reason: "criu named no process".to_owned(),
    })?;
    let init = Identity::of(pid).map_err(system("look at the container's process"))?;
    let finish = || {
        let mut record = new_record(&args.id, bundle, Status::Running);
        record.pid = pid.as_raw_nonzero().get();
        record.init_process_start = init.start_time;
        let master = match (master, &args.new.console_socket) {
            (Some(master), Some(socket)) => {
                let failed = |source| Error::ConsoleSocket { path: socket.clone(), source };
                let client = console::connect(socket).map_err(failed)?;
                console::send(&client, &master).map_err(system("send the terminal to the console socket"))?;
                None
            }
            (master, _) => master,
        };
        dir.save_record(&record)?;
        if let Some(path) = &args.new.pid_file {
            pid_file::write(path, pid)?;
        }
        Ok((Container { dir: dir.clone(), record }, init, master))
    };
    finish().inspect_err(|_: &Error| kill_and_reap(init))
}

fn session(
    args: &Restore,
    images: &Path,
    spec: &Spec,
    cgroup: &Cgroup,
    root: &MountedRoot,
) -> Result<Session> {
    let external = External::of(spec, cgroup, None)?;
    let mut session = Session::new("restore", args.id.as_str(), images, "restore.log", &args.criu)?;
    let mut named = BTreeSet::new();
    for mount in &external.mounts {
        if named.insert(mount.name.as_str()) {
            session.criu.set_external_mount(mount.name.clone(), mount.source.clone());
        }
    }
    for (_, key, namespace) in external.namespaces {
        // CRIU inherits it, and is the last to need it.
        let namespace = std::mem::ManuallyDrop::new(namespace);
        inherit(&mut session, &*namespace, (*key).to_owned())?;
    }
    for (number, stream) in criu::saved_streams(images)? {
        let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
        let Some(stream_now) = usize::try_from(number).ok().and_then(|number| streams.get(number)) else {
            continue;
        };
        inherit(&mut session, stream_now, stream)?;
    }
    session.criu.set_root(root.path.display().to_string());
    // A child of this process, so that it can be waited for here or goes to this one's nearest subreaper.
    session.criu.set_rst_sibling(true);
    Ok(session)
}

fn inherit(session: &mut Session, descriptor: impl AsFd, key: String) -> Result<()> {
    let descriptor = descriptor.as_fd();
    rustix::io::fcntl_setfd(descriptor, FdFlags::empty()).map_err(system("let criu inherit a descriptor"))?;
    let added = session.criu.add_inherit_fd(descriptor.as_raw_fd(), key);
    added.map_err(|e| system("name a descriptor to criu")(std::io::Error::other(e)))
}

/// The root filesystem as a mount of its own, as CRIU wants it, until it is dropped.
struct MountedRoot {
    path: PathBuf,
}

impl MountedRoot {
    fn new(rootfs: &Path, path: PathBuf) -> Result<Self> {
        fs::create_dir(&path).map_err(file("create directory", &path))?;
        // Not made private: CRIU gives the container's root the propagation that this one has, as it had before.
        match mount_bind_recursive(rootfs, &path) {
            Ok(()) => Ok(Self { path }),
            Err(error) => Err(mount("mount the root for criu on", path)(error)),
        }
    }
}

impl Drop for MountedRoot {
    fn drop(&mut self) {
        let _ = unmount(&self.path, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.path);
    }
}

//! The inside of a container, built by its first process before it becomes the container's command.
//!
//! ```text
//! namespaces, host name, lo ── root filesystem ── mounts ── devices ── hooks ── pivot_root ── sysctl ── terminal
//!   ── read-only and masked paths
//! ```
//!
//! What follows (credentials, capabilities, seccomp, the command) is the same for a further process of a container and is
//! `libcontainer`'s work. This part is here because its price is the start's price: every path is resolved once, every
//! mount is prepared detached and attached to a descriptor (fsopen(2), open_tree(2), move_mount(2)), and `/proc` is
//! only trusted where it was mounted by us a moment ago.

mod cgroups;
mod copy_up;
mod devices;
mod hide;
mod mounts;
mod namespaces;
mod options;
mod pivot;
mod proc;
mod terminal;

use gantry_record::failpoint;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use libcontainer::container::State;
use libcontainer::process::channel::{InitReceiver, MainSender};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::fs::{Mode, OFlags};

use crate::cgroup::Cgroup;
use crate::error::{Error, Result, mount};
use crate::hooks;
use crate::rootfs::Root;
use crate::sys::{self, MountChange};

#[cfg(feature = "fuzzing")]
pub(crate) use options::Options;

/// A container to be built around this process.
pub(crate) struct Init<'a> {
    pub(crate) id: &'a str,
    /// The configuration, normalized.
    pub(crate) spec: &'a Spec,
    /// The root filesystem, absolute.
    pub(crate) rootfs: &'a Path,
    /// What relative sources of mounts are relative to.
    pub(crate) bundle: &'a Path,
    /// The cgroup that this process is in.
    pub(crate) cgroup: &'a Cgroup,
    pub(crate) no_pivot: bool,
    /// Where the master of the terminal goes, if there is one.
    pub(crate) console: Option<BorrowedFd<'a>>,
    /// What hooks get to see.
    pub(crate) state: &'a State,
}

impl Init<'_> {
    /// Builds it. Afterwards this process is inside, with all its privileges still.
    pub(crate) fn build(&self, to_parent: &mut MainSender, from_parent: &mut InitReceiver) -> Result<()> {
        let linux = self.spec.linux().clone().unwrap_or_default();
        let cgroup_namespace =
            linux.namespaces().iter().flatten().any(|ns| ns.typ() == LinuxNamespaceType::Cgroup);
        // Modes of what is created are meant as they stand.
        let umask = rustix::process::umask(Mode::empty());
        namespaces::enter(self.spec, &linux)?;
        failpoint::at("runtime::init::namespaces");
        pivot::prepare(self.rootfs, linux.rootfs_propagation().as_deref())?;
        failpoint::at("runtime::init::root-prepared");
        let root = Root::open(self.rootfs)?;
        let dev_read_only = mounts::mount_all(self, &root, cgroup_namespace)?;
        failpoint::at("runtime::init::mounted");
        devices::create(self.spec, &linux, &root)?;
        failpoint::at("runtime::init::devices");
        // But hooks get the caller's mask.
        rustix::process::umask(umask);
        self.hooks(to_parent, from_parent)?;
        failpoint::at("runtime::init::hooks-run");
        rustix::process::umask(Mode::empty());
        pivot::enter(&root, self.rootfs, self.no_pivot, linux.rootfs_propagation().as_deref())?;
        failpoint::at("runtime::init::pivoted");
        let root = Root::open(Path::new("/"))?;
        devices::reopen_null(&root)?;
        proc::set_parameters(linux.sysctl().as_ref())?;
        failpoint::at("runtime::init::parameters-set");
        if let Some(socket) = self.console {
            let user = self.spec.process().as_ref().map_or(0, |process| process.user().uid());
            terminal::open(&root, socket, user)?;
        }
        let read_only = MountChange { set: libc::MOUNT_ATTR_RDONLY, ..MountChange::default() };
        if dev_read_only {
            let path = Path::new("/dev");
            root.find(path, OFlags::DIRECTORY)
                .and_then(|dev| sys::change_mount(dev.as_fd(), read_only, false))
                .map_err(mount("make read-only", path))?;
        }
        if self.spec.root().as_ref().is_some_and(|root| root.readonly() == Some(true)) {
            sys::change_mount(root.as_fd(), read_only, false).map_err(mount("make read-only", "/"))?;
        }
        hide::make_read_only(&root, linux.readonly_paths().as_deref().unwrap_or_default())?;
        hide::mask(&root, linux.masked_paths().as_deref().unwrap_or_default())?;
        failpoint::at("runtime::init::masked");
        rustix::process::umask(umask);
        self.leave_groups()
    }

    /// Lets the parent run its hooks, then runs those of this side.
    fn hooks(&self, to_parent: &mut MainSender, from_parent: &mut InitReceiver) -> Result<()> {
        let Some(hooks) = self.spec.hooks() else { return Ok(()) };
        let lost = |e: libcontainer::process::channel::ChannelError| Error::Prepare {
            id: self.id.to_owned(),
            step: "ask for its hooks",
            source: e.into(),
        };
        to_parent.hook_request().map_err(lost)?;
        from_parent.wait_for_hook_request_done().map_err(lost)?;
        hooks::run(self.id, "createContainer", hooks.create_container().as_ref(), self.state)
    }

    /// Leaves the groups of the runtime's caller. Those of the configuration are joined later, if there are any.
    fn leave_groups(&self) -> Result<()> {
        match rustix::thread::set_thread_groups(&[]) {
            // A user namespace may forbid it (user_namespaces(7), /proc/PID/setgroups); then there is nothing to gain.
            Ok(()) | Err(rustix::io::Errno::PERM) => Ok(()),
            Err(error) => Err(crate::error::system("leave the groups of the caller")(error)),
        }
    }
}

//! Namespaces that must be entered around the clone, because they only take what is forked afterwards, or that the child
//! joins before libcontainer sees to the others.
//!
//! A pid namespace given by path is entered by the parent, for its children only, and left again. A new time namespace
//! with offsets is likewise made by the parent, since the offsets must be written before anybody is inside
//! (time_namespaces(7)). A user or time namespace given by path is joined by the child.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType};
use rustix::process::{Gid, Uid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::{Error, Result, file, system};
use crate::process::Identity;
use crate::sys;

/// What this process entered for its children, and what the child has to join.
#[derive(Default)]
pub(crate) struct Entered {
    /// The pid namespace to come back to.
    own_pid: Option<File>,
    /// The time namespace to come back to.
    own_time: Option<File>,
    /// For the child to join.
    user: Option<File>,
    time: Option<File>,
}

impl Entered {
    /// Enters what a configuration wants entered by the parent.
    pub(crate) fn enter(linux: &Linux) -> Result<Self> {
        let find = |kind| linux.namespaces().iter().flatten().find(|ns| ns.typ() == kind);
        let by_path = |kind| -> Result<Option<File>> {
            let path = find(kind).and_then(|ns| ns.path().as_deref());
            path.map(|path| File::open(path).map_err(file("open namespace", path))).transpose()
        };
        let mut entered = Self {
            own_pid: None,
            own_time: None,
            user: by_path(LinuxNamespaceType::User)?,
            time: by_path(LinuxNamespaceType::Time)?,
        };
        if let Some(target) = by_path(LinuxNamespaceType::Pid)? {
            entered.own_pid = Some(open_own("pid")?);
            move_into(&target, LinkNameSpaceType::ProcessID, "join the pid namespace")?;
        }
        if find(LinuxNamespaceType::Time).is_some_and(|ns| ns.path().is_none()) {
            entered.own_time = Some(open_own("time")?);
            sys::unshare_time().map_err(system("create a time namespace"))?;
            let offsets =
                linux.time_offsets().iter().flatten().fold(String::new(), |lines, (clock, offset)| {
                    let (seconds, nanoseconds) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
                    lines + &format!("{clock} {seconds} {nanoseconds}\n")
                });
            if !offsets.is_empty() {
                let path = "/proc/self/timens_offsets";
                fs::write(path, offsets).map_err(file("write", path))?;
            }
        }
        Ok(entered)
    }

    /// Comes back, in the parent.
    pub(crate) fn leave(self) -> Result<()> {
        if let Some(own) = self.own_pid {
            move_into(&own, LinkNameSpaceType::ProcessID, "come back from the pid namespace")?;
        }
        if let Some(own) = self.own_time {
            move_into(&own, TIME, "come back from the time namespace")?;
        }
        Ok(())
    }

    /// Joins, in the child, what the parent could not enter for it.
    pub(crate) fn join_in_child(self) -> Result<()> {
        if let Some(time) = self.time {
            move_into(&time, TIME, "join the time namespace")?;
        }
        if let Some(user) = self.user {
            move_into(&user, LinkNameSpaceType::User, "join the user namespace")?;
            become_root()?;
        }
        Ok(())
    }
}

/// Takes the identity of root in the user namespace that this process is in: setting up the rest needs it.
pub(crate) fn become_root() -> Result<()> {
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)
        .map_err(system("become the root group of the user namespace"))?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
        .map_err(system("become the root user of the user namespace"))
}

/// The namespaces of a running container for a process that joins it: those that the configuration names, held open
/// and given by their descriptors, so that they are this container's even if its first process ends meanwhile.
pub(crate) struct Joined {
    pub(crate) namespaces: Vec<LinuxNamespace>,
    _held: Vec<OwnedFd>,
}

impl Joined {
    /// Opens the namespaces of a process.
    pub(crate) fn of(init: Identity, linux: &Linux, id: &str) -> Result<Self> {
        let mut joined = Self { namespaces: Vec::new(), _held: Vec::new() };
        for namespace in linux.namespaces().iter().flatten() {
            let name = file_name(namespace.typ());
            let path = PathBuf::from(format!("/proc/{}/ns/{name}", init.pid.as_raw_nonzero()));
            let opened = File::open(&path).map_err(file("open namespace", path))?;
            // Joining one's own user namespace is refused (setns(2)).
            if namespace.typ() == LinuxNamespaceType::User
                && same_namespace(&opened, Path::new("/proc/self/ns/user"))
            {
                continue;
            }
            let held = OwnedFd::from(opened);
            let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&held));
            let entry = LinuxNamespaceBuilder::default().typ(namespace.typ()).path(link).build();
            joined.namespaces.push(entry.map_err(|e| Error::Prepare {
                id: id.to_owned(),
                step: "describe its namespaces",
                source: e.into(),
            })?);
            joined._held.push(held);
        }
        if init.is_alive() {
            Ok(joined)
        } else {
            Err(Error::CannotExec { id: id.to_owned(), status: crate::store::Status::Stopped })
        }
    }
}

const TIME: LinkNameSpaceType = LinkNameSpaceType::Time;

fn same_namespace(opened: &File, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let key = |metadata: std::io::Result<fs::Metadata>| metadata.ok().map(|m| (m.dev(), m.ino()));
    let opened = key(opened.metadata());
    opened.is_some() && opened == key(fs::metadata(other))
}

fn open_own(name: &str) -> Result<File> {
    let path = format!("/proc/self/ns/{name}");
    File::open(&path).map_err(file("open namespace", path))
}

fn move_into(namespace: &File, kind: LinkNameSpaceType, step: &'static str) -> Result<()> {
    move_into_link_name_space(namespace.as_fd(), Some(kind)).map_err(system(step))
}

/// What a namespace is called below `/proc/PID/ns`.
fn file_name(kind: LinuxNamespaceType) -> &'static str {
    match kind {
        LinuxNamespaceType::Mount => "mnt",
        LinuxNamespaceType::Cgroup => "cgroup",
        LinuxNamespaceType::Uts => "uts",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::User => "user",
        LinuxNamespaceType::Pid => "pid",
        LinuxNamespaceType::Network => "net",
        LinuxNamespaceType::Time => "time",
    }
}

//! The namespaces that the first process enters by itself: all but user, pid and time.

use std::fs::File;
use std::os::fd::AsFd;

use oci_spec::runtime::{Linux, LinuxNamespaceType, Spec};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::error::{Result, file, system};
use crate::sys;

/// Joins those that have paths, makes the others, and gives the new ones their names and their loopback interface.
pub(crate) fn enter(spec: &Spec, linux: &Linux) -> Result<()> {
    let mut joined = Vec::new();
    let mut new = UnshareFlags::empty();
    for namespace in linux.namespaces().iter().flatten() {
        let Some((link, flag)) = kind(namespace.typ()) else { continue };
        match namespace.path() {
            Some(path) => joined.push((link, File::open(path).map_err(file("open namespace", path))?)),
            None => new |= flag,
        }
    }
    // All are open by now; the mount namespace last all the same, so that nothing else depends on the order.
    joined.sort_by_key(|(link, _)| *link == LinkNameSpaceType::Mount);
    for (link, namespace) in joined {
        move_into_link_name_space(namespace.as_fd(), Some(link)).map_err(system("join a namespace"))?;
    }
    sys::unshare(new).map_err(system("make namespaces"))?;
    if new.contains(UnshareFlags::NEWUTS) {
        if let Some(name) = spec.hostname() {
            rustix::system::sethostname(name.as_bytes()).map_err(system("set the host name"))?;
        }
        if let Some(name) = spec.domainname() {
            rustix::system::setdomainname(name.as_bytes()).map_err(system("set the domain name"))?;
        }
    }
    if new.contains(UnshareFlags::NEWNET) {
        sys::bring_up_loopback().map_err(system("bring up the loopback interface"))?;
    }
    Ok(())
}

fn kind(kind: LinuxNamespaceType) -> Option<(LinkNameSpaceType, UnshareFlags)> {
    match kind {
        LinuxNamespaceType::Mount => Some((LinkNameSpaceType::Mount, UnshareFlags::NEWNS)),
        LinuxNamespaceType::Cgroup => Some((LinkNameSpaceType::ControlGroup, UnshareFlags::NEWCGROUP)),
        LinuxNamespaceType::Uts => Some((LinkNameSpaceType::HostNameAndNISDomainName, UnshareFlags::NEWUTS)),
        LinuxNamespaceType::Ipc => Some((LinkNameSpaceType::InterProcessCommunication, UnshareFlags::NEWIPC)),
        LinuxNamespaceType::Network => Some((LinkNameSpaceType::Network, UnshareFlags::NEWNET)),
        // Entered around the clone (launch::namespaces).
        LinuxNamespaceType::User | LinuxNamespaceType::Pid | LinuxNamespaceType::Time => None,
    }
}

//! Resource limits of a process (setrlimit(2)), as opposed to those of its cgroup.

use oci_spec::runtime::{PosixRlimitType, Spec};
use rustix::process::{Pid, Resource, Rlimit};

use crate::error::{Error, Result};

/// Sets the limits of a configuration on a process, or on this one. Needs to be done from outside for a process in a
/// user namespace, which may not raise its own.
pub(crate) fn apply(spec: &Spec, pid: Option<Pid>) -> Result<()> {
    let limits = spec.process().as_ref().and_then(|process| process.rlimits().as_ref());
    for limit in limits.into_iter().flatten() {
        // The kernel's infinity is the largest number, which rustix calls none.
        let value = |n: u64| (n != u64::MAX).then_some(n);
        let new = Rlimit { current: value(limit.soft()), maximum: value(limit.hard()) };
        rustix::process::prlimit(pid, resource(limit.typ()), new).map_err(|e| Error::Rlimit {
            kind: limit.typ().to_string(),
            soft: limit.soft(),
            hard: limit.hard(),
            source: e.into(),
        })?;
    }
    Ok(())
}

fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}

//! What a shim gives up once its process runs.
//!
//! The shim of an exec starts no program any more, so it gives up everything but what its streams and records need:
//! all other capabilities for ever, new privileges, and, by a filter, the system calls of all other work.
//!
//! The shim of init has the runtime kill and delete the container at the end, and the runtime runs the bundle's
//! `poststop` hooks. A filter, `no_new_privs` and the bounding set are inherited by whatever it executes, so each would
//! be a change of what runtime and hooks may do. It keeps these, and with them its permitted capabilities: were they
//! dropped, the kernel would take a regain at execve(2) for a new privilege and forget that the runtime is to die with
//! its shim (PR_SET_PDEATHSIG). It only acts without them: its effective set is as small as an exec's.
//!
//! All of it is best effort: a shim that cannot give something up is no reason not to run a process.

mod seccomp;

use crate::error::{Error, Result};
use crate::sys;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// For the clients' FIFOs, which belong to the container's root where that is not this one, and for logs in the folders
/// of others; and for the size of pipes and the protection from kills for want of memory.
const KEPT: CapabilitySet = CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::SYS_RESOURCE);

/// Gives up core dumps, from the start: a shim has seen the process's environment. Returns the limit that it had, for
/// the programs that it starts.
pub(crate) fn forbid_cores() -> Rlimit {
    let inherited = rustix::process::getrlimit(Resource::Core);
    // The hard limit stays, so that a child can have its own back.
    let none = Rlimit { current: Some(0), maximum: inherited.maximum };
    // It fails for nobody: lowering needs no right.
    let _ = rustix::process::setrlimit(Resource::Core, none);
    inherited
}

/// No core of a process that has seen an environment, and no other user's debugger. Not before there is a process: the
/// runtime may have to reach the console socket through the shim's folder in /proc.
pub(crate) fn hide() {
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// For a shim beside an init that runs.
pub(crate) fn beside_init() -> Result<()> {
    let sets = rustix::thread::capabilities(None).map_err(Error::setup("capget"))?;
    let effective = sets.permitted & KEPT;
    restrict(CapabilitySets { effective, ..sets })
}

/// For a shim beside an exec that runs. Nothing can be executed from then on.
pub(crate) fn beside_exec() -> Result<()> {
    rustix::thread::set_no_new_privs(true).map_err(Error::setup("setting no_new_privs"))?;
    for capability in CapabilitySet::all().iter() {
        // Refused without CAP_SETPCAP, and for what an older kernel does not know.
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    let sets = rustix::thread::capabilities(None).map_err(Error::setup("capget"))?;
    let kept = sets.permitted & KEPT;
    restrict(CapabilitySets { permitted: kept, effective: kept, inheritable: CapabilitySet::empty() })?;
    sys::set_filter(&seccomp::filter()).map_err(Error::setup("setting a seccomp filter"))
}

/// For a fork of a shim beside an init, which does a runtime's work without the execve(2) that would have done this for it:
/// all that is permitted takes effect again.
pub(crate) fn undo_for_runtime() -> Result<()> {
    let sets = rustix::thread::capabilities(None).map_err(Error::setup("capget"))?;
    restrict(CapabilitySets { effective: sets.permitted, ..sets })
}

fn restrict(sets: CapabilitySets) -> Result<()> {
    rustix::thread::set_capabilities(None, sets).map_err(Error::setup("capset"))
}

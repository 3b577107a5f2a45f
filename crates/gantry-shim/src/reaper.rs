//! Reaping: everything below this subreaper, whether it was ever of interest or merely became ours.

use gantry_record::ExitStatus;
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions};

/// NOWAIT leaves a child as it is; the answer is only whether it is ours (ECHILD when not).
const LOOK: WaitIdOptions = WaitIdOptions::EXITED.union(WaitIdOptions::NOHANG).union(WaitIdOptions::NOWAIT);

/// Whether `pid` is a child that nobody has reaped yet.
pub(crate) fn check_child(pid: Pid) -> Result<(), Errno> {
    rustix::process::waitid(WaitId::Pid(pid), LOOK).map(drop)
}

/// Whether anything at all is still below this subreaper.
pub(crate) fn has_children() -> bool {
    rustix::process::waitid(WaitId::All, LOOK).is_ok()
}

/// Reaps all that have ended; the status of `wanted` if it is among them.
pub(crate) fn reap(wanted: Option<Pid>) -> Option<ExitStatus> {
    let mut found = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if Some(pid) == wanted {
            found = Some(ExitStatus::from_wait_status(status.as_raw()));
        }
    }
    found
}

//! Reaping: everything below this subreaper, whether it was ever of interest or merely became ours.

use crate::sys;
use gantry_record::{ExitStatus, Usage};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions};

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

/// Reaps all that have ended; how `wanted` ended, and what it and its own children had used, if it is among them.
pub(crate) fn reap(wanted: Option<Pid>) -> Option<(ExitStatus, Usage)> {
    let mut found = None;
    while let Some((pid, status, usage)) = sys::reap_one() {
        if wanted.is_some_and(|wanted| wanted.as_raw_pid() == pid) {
            found = Some((ExitStatus::from_wait_status(status), usage));
        }
    }
    found
}

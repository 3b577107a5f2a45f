//! Children: telling the one that matters from those that merely became ours.

use crate::error::{Error, Result};
use gantry_record::ExitStatus;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, WaitStatus};

/// Reaps everything below this subreaper and keeps the status of the process that it stands beside.
pub(crate) struct Reaper {
    main: Pid,
}

impl Reaper {
    /// Stands beside `pid`, which must be a child that nobody has reaped yet.
    pub(crate) fn new(pid: i32) -> Result<Self> {
        let main = Pid::from_raw(pid).ok_or(Error::NoPid)?;
        // NOWAIT leaves it as it is; the answer is only whether it is ours (ECHILD when not).
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::Pid(main), options)
            .map_err(|source| Error::NotOurs { pid, source })?;
        Ok(Self { main })
    }

    /// The pid of the process.
    pub(crate) fn main(&self) -> Pid {
        self.main
    }

    /// Whether anything at all is still below this subreaper.
    pub(crate) fn has_children(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::All, options).is_ok()
    }

    /// Reaps all that have ended; the status of the process if it is among them.
    pub(crate) fn reap(&self) -> Option<ExitStatus> {
        let mut found = None;
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if pid == self.main {
                found = Some(exit_status(status));
            }
        }
        found
    }
}

fn exit_status(status: WaitStatus) -> ExitStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitStatus::from_code(code),
        (None, Some(signal)) => ExitStatus::from_signal(signal),
        (None, None) => ExitStatus::UNKNOWN,
    }
}

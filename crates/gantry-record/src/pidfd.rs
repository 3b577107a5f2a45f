//! How a process ended that is not one's own child: the kernel tells it to whoever holds its pidfd.
//!
//! `PIDFD_GET_INFO` with `PIDFD_INFO_EXIT` (Linux 6.15, `ioctl_pidfd(2)`) gives the wait status, but only once the
//! process has been reaped by its parent, whoever that is. A pidfd is readable from the end on, as a zombie too, and
//! hangs up when it is reaped (Linux 6.9): so wait for the hang-up, then ask. For a process whose first thread ended
//! before the others, the status is the whole process's, as wait(2) would give it (tried on Linux 6.18).

use rustix::ioctl::{self, Opcode, Updater, opcode};
use std::os::fd::BorrowedFd;

/// `struct pidfd_info` of linux/pidfd.h, version 0.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    /// pid, tgid, ppid, four user and four group ids.
    ids: [u32; 11],
    exit_code: i32,
}

const _: () = assert!(size_of::<PidfdInfo>() == 64);

/// `PIDFD_INFO_EXIT`: the exit code is asked for, or filled in.
const INFO_EXIT: u64 = 1 << 3;
/// `_IOWR(0xFF, 11, struct pidfd_info)`.
const PIDFD_GET_INFO: Opcode = opcode::read_write::<PidfdInfo>(0xFF, 11);

/// The wait status (wait(2)) of a process that has been reaped by whomever, or `None` while nobody has, or where
/// the kernel (before Linux 6.15) can't tell.
#[must_use]
pub fn exit_status(pidfd: BorrowedFd<'_>) -> Option<i32> {
    let mut info = PidfdInfo { mask: INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the request's number says how large `PidfdInfo` is, and the kernel reads and writes no more than that.
    let request = unsafe { Updater::<PIDFD_GET_INFO, PidfdInfo>::new(&mut info) };
    // SAFETY: `info` outlives the call; what is no pidfd does not know the request and refuses it.
    let result = unsafe { ioctl::ioctl(pidfd, request) };
    (result.is_ok() && info.mask & INFO_EXIT != 0).then_some(info.exit_code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    use std::os::fd::AsFd;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    #[test]
    fn a_reaped_childs_status_is_told_where_the_kernel_can() {
        let mut child =
            Command::new("sh").args(["-c", "read x; exit 42"]).stdin(Stdio::piped()).spawn().unwrap();
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        assert_eq!(exit_status(pidfd.as_fd()), None);
        drop(child.stdin.take());
        let status = child.wait().unwrap();
        // `None` is right on an older kernel; any number but the true one never is.
        assert!(exit_status(pidfd.as_fd()).is_none_or(|raw| raw == status.into_raw()));
    }

    #[test]
    fn what_is_no_pidfd_tells_nothing() {
        assert_eq!(exit_status(std::fs::File::open("/dev/null").unwrap().as_fd()), None);
    }
}

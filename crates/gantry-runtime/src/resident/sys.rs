//! System calls of the resident parent that no safe wrapper offers, each a thin function.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Mode, OFlags};

use crate::sys::SIGNAL_RECORD_BYTES;

/// Empties a descriptor of signals.
pub(super) fn forget_signals(signals: &OwnedFd) {
    let mut records = [0_u8; 4 * SIGNAL_RECORD_BYTES];
    while rustix::io::read(signals, &mut records).is_ok_and(|length| length == records.len()) {}
}

/// Takes a variable away from what is executed from here.
pub(super) fn remove_from_environment(variable: &str) {
    // SAFETY: the resident parent has one thread, so nobody reads the environment meanwhile.
    unsafe { std::env::remove_var(variable) };
}

/// Puts `/dev/null` on standard input.
pub(super) fn null_stdin() -> io::Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::stdio::dup2_stdin(&null)?)
}

/// Where this process's command line is in its memory, for `/proc/PID/cmdline` to be read from there.
#[derive(Clone, Copy)]
pub(super) struct CommandLine {
    start: *mut u8,
    length: usize,
}

impl CommandLine {
    /// Finds it. It is as long as what the process was executed with, which its daemon therefore makes long.
    pub(super) fn find() -> Option<Self> {
        // proc_pid_stat(5): arg_start and arg_end are fields 48 and 49, and the second field ends with the last parenthesis.
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().skip(45);
        let mut address = || fields.next()?.parse::<usize>().ok().filter(|address| *address > 0);
        let (start, end) = (address()?, address()?);
        Some(Self { start: std::ptr::with_exposed_provenance_mut(start), length: end.checked_sub(start)? })
    }

    /// Gives this process the name and command line of a program that was executed with these words, the first of which is
    /// the program's name; cut where there is no room. That is how people and restarted daemons find it in `/proc`.
    pub(super) fn set(self, words: &[&OsStr]) {
        if let Some(name) = words.first().and_then(|name| CString::new(name.as_bytes()).ok()) {
            // A name is all that this could fail to give.
            let _ = rustix::thread::set_name(&name);
        }
        // SAFETY: the kernel put the arguments there, in this process's writable stack, and they stay for as long as it
        // lives. Nothing else refers to them: `std::env::args` is not asked for any more once there is a `CommandLine`.
        let line = unsafe { std::slice::from_raw_parts_mut(self.start, self.length) };
        let words = words.iter().flat_map(|word| word.as_bytes().iter().chain([&0]));
        let mut bytes = words.copied().chain(std::iter::repeat(0));
        // The last byte stays zero: that says that the line is one of words (proc_pid_cmdline(5)).
        let Some((_, line)) = line.split_last_mut() else { return };
        line.fill_with(|| bytes.next().unwrap_or_default());
    }
}

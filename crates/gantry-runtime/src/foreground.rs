//! Running a process in the foreground: signals go to it, its terminal to ours, its status to our caller.

use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{WaitOptions, WaitStatus, waitpid};

use crate::console::proxy::Proxy;
use crate::error::{Result, system};
use crate::exit_code::ExitCode;
use crate::process::Identity;
use crate::signal::SignalNumber;
use crate::sys::{SIGNAL_RECORD_BYTES, SignalSet};

/// Signals held back for a process in the foreground.
pub(crate) struct Foreground {
    signals: OwnedFd,
}

impl Foreground {
    /// Holds back all signals from here on. To be done before the process exists, so that none is lost.
    pub(crate) fn hold_signals() -> Result<Self> {
        let set = SignalSet::forwarded();
        let signals = set.descriptor().map_err(system("open a descriptor for signals"))?;
        set.block();
        Ok(Self { signals })
    }

    /// Waits for the end of a child of this process, and returns its status as a shell has it.
    pub(crate) fn wait(self, process: Identity, terminal: Option<OwnedFd>) -> Result<ExitCode> {
        let mut proxy = terminal.map(Proxy::new);
        loop {
            // Looked at first: the process may have ended before signals were read.
            let ended =
                waitpid(Some(process.pid), WaitOptions::NOHANG).map_err(system("wait for the process"))?;
            if let Some((_, status)) = ended {
                if let Some(proxy) = &mut proxy {
                    proxy.drain();
                }
                return Ok(ExitCode::from(shell_status(status)));
            }
            let wait = match &mut proxy {
                Some(proxy) => proxy.copy_until_readable(self.signals.as_fd()),
                None => wait_readable(&self.signals),
            };
            wait.map_err(system("wait for signals"))?;
            while let Some(signal) = self.next_signal() {
                match signal.raw() {
                    libc::SIGCHLD => {}
                    libc::SIGWINCH if proxy.is_some() => proxy.iter().for_each(Proxy::resize),
                    // That it cannot be signalled means that it is gone, which the wait tells.
                    _ => drop(process.send(signal)),
                }
            }
        }
    }

    fn next_signal(&self) -> Option<SignalNumber> {
        let mut record = [0; SIGNAL_RECORD_BYTES];
        rustix::io::read(&self.signals, &mut record).ok()?;
        let number = u32::from_ne_bytes(*record.first_chunk()?);
        number.to_string().parse().ok()
    }
}

fn wait_readable(fd: &OwnedFd) -> std::io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    loop {
        match poll(&mut [PollFd::new(fd, PollFlags::IN)], None) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map(|_| ()).map_err(Into::into),
        }
    }
}

/// The exit status, or 128 and the signal that ended it.
fn shell_status(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(255)
}

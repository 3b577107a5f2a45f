//! Running a command to its end, within a time.

use crate::wait::patient;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fmt;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Finished {
    /// The command, for messages.
    pub command: String,
    /// Its status.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

/// Runs `command` without input to its end and collects what it prints.
///
/// # Panics
/// When it cannot be started, or does not end within `timeout` (it is killed first).
pub fn finish(command: &mut Command, timeout: Duration) -> Finished {
    let name = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("start {name}: {error}"));
    let stdout = collect(child.stdout.take().expect("a piped stdout"));
    let stderr = collect(child.stderr.take().expect("a piped stderr"));
    let status = wait_within(&mut child, timeout);
    if status.is_none() {
        child.kill().expect("kill what runs too long");
        child.wait().expect("wait for what was killed");
    }
    let (stdout, stderr) = (join(stdout), join(stderr));
    match status {
        Some(status) => Finished { command: name, status, stdout, stderr },
        None => panic!("{name} still ran after {timeout:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"),
    }
}

/// Waits for a child; `None` when it has not ended within `timeout`.
pub(crate) fn wait_within(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let handle = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).expect("a handle on a child");
    let timeout = Timespec::try_from(patient(timeout)).expect("a time that fits");
    let ready = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout)).expect("wait for a child");
    (ready > 0).then(|| child.wait().expect("reap a child"))
}

fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("read the output");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn join(reader: JoinHandle<String>) -> String {
    reader.join().expect("collect the output")
}

// === impl Finished ===

impl Finished {
    /// The exit status as a shell would show it: 128 and the signal for a killed one.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or_default())
    }

    /// Insists on an exit status.
    ///
    /// # Panics
    /// With everything that is known, when it is another one.
    pub fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(self.code(), code, "{self}");
        self
    }

    /// Insists on success and returns the output.
    pub fn success(&self) -> &str {
        &self.expect_code(0).stdout
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, status, stdout, stderr } = self;
        write!(f, "{command} ended with {status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_status_and_output() {
        let done =
            finish(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 7"]), Duration::from_secs(5));
        assert_eq!((done.code(), &*done.stdout, &*done.stderr), (7, "out\n", "err\n"));
        let done = finish(Command::new("sh").args(["-c", "kill -9 $$"]), Duration::from_secs(5));
        assert_eq!(done.code(), 137);
    }

    #[test]
    #[should_panic(expected = "still ran after")]
    fn does_not_wait_for_ever() {
        finish(Command::new("sleep").arg("60"), Duration::from_millis(10));
    }
}

//! The client against a stand-in for the daemon: what users and scripts rely on, and faults that are hard to cause for real.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step of a test ends the test")]

mod containers;
mod fake;
mod faults;
mod limits;
mod run;
mod signals;

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fake::FakeDaemon;

/// Nothing here takes long; what does hangs.
const LIMIT: Duration = Duration::from_secs(20);

struct Setup {
    daemon: FakeDaemon,
    rootfs: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        Self { daemon: FakeDaemon::start(), rootfs: tempfile::tempdir().unwrap() }
    }

    /// `gantry` with arguments; `ROOT` stands for `--rootfs` of an empty directory.
    fn gantry(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
        command
            .env_remove("GANTRY_BUNDLES")
            .env("GANTRY_ADDRESS", self.daemon.address())
            .stdin(Stdio::null());
        for arg in args {
            match *arg {
                "ROOT" => command.arg("--rootfs").arg(self.rootfs.path()),
                arg => command.arg(arg),
            };
        }
        command
    }

    fn run(&self, args: &[&str]) -> Result {
        Result::from(self.gantry(args).output().unwrap())
    }

    fn spawn(&self, args: &[&str]) -> Child {
        self.gantry(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn wait_running(&self, id: &str) {
        wait_for("the container to run", || self.daemon.shared().is_running(id));
    }

    fn bundles(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.daemon.bundles()) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[derive(Debug)]
struct Result {
    status: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Result {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "waited in vain for {what}");
        sleep(Duration::from_millis(5));
    }
}

/// Waits for the client, and ends it if it hangs.
fn finish(mut child: Child) -> Result {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("the client hangs: {:?}", Result::from(child.wait_with_output().unwrap()));
        }
        sleep(Duration::from_millis(5));
    }
    Result::from(child.wait_with_output().unwrap())
}

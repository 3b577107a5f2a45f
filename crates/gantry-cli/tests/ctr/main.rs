//! The client under the name ctr against a stand-in for the daemon: requests as they are sent, texts as scripts know
//! them, and faults that are hard to cause for real. `gantry-testkit` has the same with the real daemon.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step of a test ends the test")]

#[allow(dead_code, reason = "the modern client's tests use all of it")]
#[path = "../client/fake/mod.rs"]
mod fake;

mod faults;
mod requests;
mod texts;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fake::FakeDaemon;

/// Nothing here takes long; what does hangs.
const LIMIT: Duration = Duration::from_secs(20);

/// A daemon, a link named ctr, and a folder for ctr's temporary files.
struct Setup {
    daemon: FakeDaemon,
    folder: tempfile::TempDir,
}

#[derive(Debug)]
struct Ended {
    status: i32,
    stdout: String,
    stderr: String,
}

// === impl Setup ===

impl Setup {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        for name in ["ctr", "docker-containerd-ctr"] {
            symlink(env!("CARGO_BIN_EXE_gantry"), folder.path().join(name)).unwrap();
        }
        Self { daemon: FakeDaemon::start(), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn path_text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A bundle that runs a script.
    fn bundle(&self, name: &str, script: &str) -> String {
        let process = serde_json::json!({ "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] });
        fs::create_dir(self.path(name)).unwrap();
        let config = serde_json::json!({ "process": process }).to_string();
        fs::write(self.path(name).join("config.json"), config).unwrap();
        self.path_text(name)
    }

    /// ctr without an address.
    fn bare(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.path("ctr"));
        command.env("TMPDIR", self.path("tmp")).args(args).stdin(Stdio::null());
        command
    }

    fn command(&self, args: &[&str]) -> Command {
        self.bare(&[&["--address", &self.daemon.address()], args].concat())
    }

    fn run(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().unwrap())
    }

    fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What is left of the folders with FIFOs.
    fn temporary_files(&self) -> Vec<PathBuf> {
        files(&self.path("tmp"))
    }

    fn wait_running(&self, id: &str) {
        wait_for("the container to run", || self.daemon.shared().is_running(id));
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

// === impl Ended ===

impl Ended {
    fn of(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Waits for ctr, and ends it if it hangs.
    fn wait(mut child: Child) -> Self {
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if start.elapsed() > LIMIT {
                child.kill().unwrap();
                panic!("ctr hangs: {:?}", Self::of(child.wait_with_output().unwrap()));
            }
            sleep(Duration::from_millis(5));
        }
        Self::of(child.wait_with_output().unwrap())
    }

    /// Insists on status, standard output and standard error.
    #[track_caller]
    fn expect(&self, status: i32, stdout: &str, stderr: &str) {
        assert_eq!((self.status, &*self.stdout, &*self.stderr), (status, stdout, stderr));
    }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "waited in vain for {what}");
        sleep(Duration::from_millis(5));
    }
}

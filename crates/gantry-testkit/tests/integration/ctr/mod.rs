//! The client under the name ctr, as scripts written for containerd 0.2 call it, with the real daemon and real containers.
//!
//! Requests, texts of errors and faults are tried in `gantry-cli`, on a stand-in for the daemon.

mod attached;
mod commands;
mod resources;
mod terminal;

use crate::support::SOON;
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Finished, Runtime, finish};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

/// What stands for an unknown container.
const NOT_FOUND: &str = "[ctr] rpc error: code = 2 desc = containerd: container not found\n";

/// A daemon, and a link named ctr.
struct Ctr {
    daemon: Daemon,
    link: PathBuf,
}

impl Ctr {
    fn new() -> Self {
        let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
        let link = daemon.scratch().path().join("ctr");
        symlink(daemon.binaries().gantry(), &link).unwrap();
        Self { daemon, link }
    }

    /// ctr with arguments; its temporary files are the daemon's, which leak checks look at.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.link);
        command.env("TMPDIR", self.daemon.temporary_files());
        command.arg("--address").arg(self.daemon.address()).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Finished {
        finish(&mut self.command(args), SOON)
    }

    /// The flags of `start` by which the built-in runtime is used, with its records in the scratch: ctr always names one.
    fn runtime(&self) -> [String; 4] {
        let program = self.daemon.binaries().runtime().to_str().unwrap().to_owned();
        let root = format!("--root={}", self.daemon.runtime_root().display());
        ["--runtime".to_owned(), program, "--runtime-args".to_owned(), root]
    }

    /// `containers start` of a bundle, with more flags.
    fn start_command(&self, bundle: &Bundle, flags: &[&str]) -> Command {
        let mut command = self.command(&["containers", "start", bundle.id()]);
        command.arg(bundle.path()).args(self.runtime()).args(flags);
        command
    }

    fn start(&self, bundle: &Bundle, flags: &[&str]) -> Finished {
        finish(&mut self.start_command(bundle, flags), SOON)
    }

    /// A container that sleeps.
    fn sleeper(&self) -> Bundle {
        let bundle = self.daemon.bundle().args(["sleep", "1000"]).build();
        expect(&self.start(&bundle, &[]), 0, "", "");
        bundle
    }

    /// The flags of an exec in a container, to be followed by its command.
    fn exec(&self, bundle: &Bundle, process: &str, flags: &[&str], command: &[&str]) -> Finished {
        finish(&mut self.exec_command(bundle, process, flags, command), SOON)
    }

    fn exec_command(&self, bundle: &Bundle, process: &str, flags: &[&str], command: &[&str]) -> Command {
        let exec = ["containers", "exec", "--id", bundle.id(), "--pid", process, "--env", "PATH=/bin"];
        self.command(&[&exec, flags, command].concat())
    }

    /// Whether ctr has left one of its folders behind.
    fn has_left_folders(&self) -> bool {
        std::fs::read_dir(self.daemon.temporary_files())
            .unwrap()
            .any(|entry| entry.unwrap().file_name().to_str().unwrap().starts_with("ctr-"))
    }
}

/// Insists on status, standard output and standard error.
#[track_caller]
fn expect(done: &Finished, code: i32, stdout: &str, stderr: &str) {
    assert_eq!((done.code(), &*done.stdout, &*done.stderr), (code, stdout, stderr), "{done}");
}

/// The list of containers: columns as wide as their widest cell and three more, but at least 20.
fn list(bundles: &[(&Bundle, &str, &str)]) -> String {
    let width =
        |cells: &mut dyn Iterator<Item = usize>| cells.map(|cell| cell + 3).max().unwrap_or(0).max(20);
    let ids = width(&mut bundles.iter().map(|(bundle, ..)| bundle.id().len()));
    let paths = width(&mut bundles.iter().map(|(bundle, ..)| bundle.path().to_str().unwrap().len()));
    let row = |id: &str, path: &str, status: &str, processes: &str| {
        format!("{id:<ids$}{path:<paths$}{status:<20}{processes}\n")
    };
    let rows = bundles.iter().map(|(bundle, status, processes)| {
        row(bundle.id(), bundle.path().to_str().unwrap(), status, processes)
    });
    std::iter::once(row("ID", "PATH", "STATUS", "PROCESSES")).chain(rows).collect()
}

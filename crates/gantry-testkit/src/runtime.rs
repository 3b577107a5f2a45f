//! The OCI runtimes that tests go through.

use crate::{Binaries, Scratch};
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An OCI runtime that every test of a container's life must pass with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// `gantry-runtime`, the daemon's default.
    BuiltIn,
    /// `runc` of the system.
    Runc,
    /// `crun` of the system, see [`CRUN_WRAPPER`].
    Crun,
}

/// A runtime ready to be run: the program, and what goes before its subcommand.
#[derive(Clone, Debug)]
pub struct RuntimeCommand {
    /// Name or path.
    pub program: String,
    /// Arguments before the subcommand: where the runtime keeps its own records.
    pub args: Vec<String>,
}

/// Runs crun where there is no `unified` hierarchy.
///
/// On a machine with cgroup v1 in hybrid mode whose unified hierarchy has a controller, crun 1.8 refuses to work
/// ("cgroups in hybrid mode not supported, drop all controllers from cgroupv2"). In a mount namespace without that
/// hierarchy it sees plain v1. Each call gets such a namespace of its own: `create`, `start` and `delete` share nothing
/// but crun's records and the cgroups, and those are in file systems that all namespaces see. The namespace is
/// private, so that the umount stays in it; `exec` keeps pid, descriptors, arguments and the parent-death signal.
const CRUN_WRAPPER: &str = r#"#!/bin/sh
if [ -d /sys/fs/cgroup/unified ]; then
    exec unshare --mount --propagation private \
        sh -c 'umount /sys/fs/cgroup/unified && exec crun "$@"' crun "$@"
fi
exec crun "$@"
"#;

impl Runtime {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::BuiltIn, Self::Runc, Self::Crun];

    /// Its name, as a person would say it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BuiltIn => "gantry-runtime",
            Self::Runc => "runc",
            Self::Crun => "crun",
        }
    }

    /// How to run it so that its records are in `scratch`.
    ///
    /// # Panics
    /// When it is not installed.
    #[must_use]
    pub fn command(self, scratch: &Scratch) -> RuntimeCommand {
        let program = match self {
            Self::BuiltIn => text(&Binaries::locate().runtime()),
            Self::Runc => {
                self.expect_installed();
                self.name().to_owned()
            }
            Self::Crun => {
                self.expect_installed();
                text(&install_crun_wrapper(scratch))
            }
        };
        RuntimeCommand { program, args: vec![root_flag(scratch)] }
    }

    fn expect_installed(self) {
        let path = env::var_os("PATH").unwrap_or_default();
        let found = env::split_paths(&path).any(|folder| folder.join(self.name()).is_file());
        assert!(found, "{} is not installed: run `make setup`", self.name());
    }
}

impl RuntimeCommand {
    /// The command for one subcommand; its own arguments are still to be added.
    #[must_use]
    pub fn subcommand(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg(subcommand);
        command
    }
}

/// Where runtimes keep their records for the containers of `scratch`.
pub(crate) fn root(scratch: &Scratch) -> PathBuf {
    scratch.path().join("runtime")
}

pub(crate) fn root_flag(scratch: &Scratch) -> String {
    format!("--root={}", root(scratch).display())
}

fn install_crun_wrapper(scratch: &Scratch) -> PathBuf {
    let folder = scratch.path().join("bin");
    let wrapper = folder.join("crun");
    if !wrapper.exists() {
        fs::create_dir_all(&folder).expect("make a folder for the wrapper");
        fs::write(&wrapper, CRUN_WRAPPER).expect("write the wrapper");
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))
            .expect("make the wrapper executable");
    }
    wrapper
}

fn text(path: &Path) -> String {
    path.to_str().expect("a readable path").to_owned()
}

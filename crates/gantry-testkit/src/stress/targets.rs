//! Whom a fault can hit: shims, runtimes and containers' processes, found in `/proc`.

use crate::process::all;
use crate::{Process, Scratch};
use std::fs;
use std::path::{Path, PathBuf};

/// A process, and what it works for.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) process: Process,
    pub(super) container: String,
    /// The process in the container.
    pub(super) name: String,
}

/// A runtime at work.
#[derive(Clone, Debug)]
pub(super) struct RuntimeTarget {
    pub(super) target: Target,
    pub(super) subcommand: String,
    /// Whether it is no longer the runtime itself but what becomes the container's process: it is in the container's
    /// namespace already.
    pub(super) is_payload: bool,
}

pub(super) struct Targets {
    state_dir: PathBuf,
    /// How a runtime's arguments begin.
    root: String,
}

impl Targets {
    pub(super) fn new(scratch: &Scratch, state_dir: &Path) -> Self {
        Self { state_dir: state_dir.to_owned(), root: crate::runtime::root_flag(scratch) }
    }

    /// Each stands in the folder of its process.
    pub(super) fn shims(&self) -> Vec<Target> {
        all().filter_map(|pid| self.shim(pid)).collect()
    }

    fn shim(&self, pid: i32) -> Option<Target> {
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        let mut names =
            cwd.strip_prefix(&self.state_dir).ok()?.iter().map(|name| name.to_string_lossy().into_owned());
        let (container, name) = (names.next()?, names.next()?);
        let process = Process::of(pid)?;
        let is_shim = process.command.contains("gantry-shim") && !container.starts_with('@');
        is_shim.then_some(Target { process, container, name })
    }

    /// Processes that run beside a shim: its children, without runtimes.
    pub(super) fn payloads(&self) -> Vec<Target> {
        let shims = self.shims();
        let of_shim = |pid: i32| {
            let process = Process::of(pid)?;
            let parent = process.parent()?;
            let shim = shims.iter().find(|shim| shim.process.pid == parent)?;
            let runtime = process.command.contains(&self.root) || process.command.contains("gantry-");
            (!runtime).then(|| Target { process, ..shim.clone() })
        };
        all().filter_map(of_shim).collect()
    }

    /// Each has the folder of its records among its arguments, and the container's id as the last one.
    pub(super) fn runtimes(&self) -> Vec<RuntimeTarget> {
        all().filter_map(|pid| self.runtime(pid)).collect()
    }

    fn runtime(&self, pid: i32) -> Option<RuntimeTarget> {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        if !arguments.contains(&self.root) || arguments.contains("gantryd") {
            return None;
        }
        let words: Vec<&str> = arguments.split('\0').filter(|word| !word.is_empty()).collect();
        let known = ["create", "start", "exec", "delete", "kill", "pause", "resume", "update", "state"];
        let subcommand = (*words.iter().find(|word| known.contains(*word))?).to_owned();
        let container = (*words.last()?).to_owned();
        // Its log is in the folder of the process that it works for.
        let folder =
            words.iter().find_map(|word| Path::new(word).strip_prefix(self.state_dir.join(&container)).ok());
        let name =
            folder.and_then(|folder| folder.iter().next()).map(|name| name.to_string_lossy().into_owned());
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let is_payload = namespace(&pid.to_string())? != namespace("self")?;
        let process = Process::of(pid)?;
        let target = Target { process, container, name: name.unwrap_or_else(|| "init".to_owned()) };
        Some(RuntimeTarget { target, subcommand, is_payload })
    }
}

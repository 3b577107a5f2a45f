//! `exec`: another process in a running container.

use gantry_record::failpoint;
use std::fs;
use std::path::Path;

use oci_spec::runtime::{Capability, LinuxCapabilities, Process, Spec};

use crate::args::Exec;
use crate::bundle;
use crate::cgroup::Cgroup;
use crate::console::Console;
use crate::error::{Error, Result};
use crate::exit_code::ExitCode;
use crate::foreground::Foreground;
use crate::launch::namespaces::Joined;
use crate::launch::report::Channel;
use crate::launch::{Launch, Role, kill_and_reap, notify};
use crate::store::{Container, Status, Store};
use crate::{hooks, ids, legacy, pid_file, protection};

/// Runs the command.
pub(crate) fn run(store: &Store, args: &Exec) -> Result<ExitCode> {
    protection::ensure()?;
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot("enter containers"));
    }
    let container = store.load(&args.id)?;
    let status = container.status()?;
    let init = match container.init() {
        Some(init) if matches!(status, Status::Running | Status::Created) => init,
        _ => return Err(Error::CannotExec { id: container.id(), status }),
    };
    let mut spec = container.config()?;
    bundle::normalize(&mut spec);
    let process = process_of(args, &container, &spec)?;
    let cgroup = Cgroup::of_spec(&spec, &container.dir.id)?;
    failpoint::at("runtime::exec::prepared");
    let linux = spec.linux().clone().unwrap_or_default();
    let joined = Joined::of(init, &linux, args.id.as_str())?;
    if let Some(linux) = spec.linux_mut() {
        linux.set_namespaces(Some(joined.namespaces.clone()));
        linux.set_time_offsets(None);
    }
    let terminal = process.terminal().unwrap_or(false);
    spec.set_process(Some(process));
    let owner = ids::user_on_host(&spec);
    let console = Console::open(terminal, args.detach, args.console_socket.as_deref(), owner)?;

    let foreground = if args.detach { None } else { Some(Foreground::hold_signals()?) };
    let (console, terminal) = Console::split(console);
    let notify_socket =
        container.dir.path.join(format!("exec-{}.sock", rustix::process::getpid().as_raw_nonzero()));
    let _ = fs::remove_file(&notify_socket);
    let launched = Launch {
        id: args.id.as_str(),
        role: Role::Exec,
        spec,
        rootfs: container.record.rootfs.clone(),
        hook_state: hooks::container(&container.record, Status::Running, &container.dir.path),
        cgroup: &cgroup,
        console,
        preserve_fds: args.preserve_fds,
        no_pivot: false,
        new_keyring: true,
        notify_socket: notify_socket.clone(),
        start_now: terminal.is_none(),
        report: Channel::Pipe,
    }
    .launch();
    let started = launched.and_then(|launched| {
        let Some(terminal) = terminal else { return Ok((launched, None)) };
        // The terminal belongs to the user of the process before the command runs.
        let delivered = terminal.deliver().and_then(|master| {
            notify(&notify_socket, args.id.as_str())?;
            Ok(master)
        });
        let master = delivered.inspect_err(|_| kill_and_reap(launched.process))?;
        Ok((launched, master))
    });
    failpoint::at("runtime::exec::launched");
    let _ = fs::remove_file(&notify_socket);
    let (mut launched, terminal) = started?;
    launched.wait_for_exec(args.id.as_str())?;
    failpoint::at("runtime::exec::running");
    let finish = || {
        if let Some(path) = &args.pid_file {
            pid_file::write(path, launched.process.pid)?;
        }
        Ok(())
    };
    finish().inspect_err(|_| kill_and_reap(launched.process))?;
    failpoint::at("runtime::exec::done");
    match foreground {
        None => Ok(ExitCode::SUCCESS),
        Some(foreground) => {
            foreground.wait(launched.process, terminal).inspect_err(|_| kill_and_reap(launched.process))
        }
    }
}

/// The process to run: from a file, or the container's own with another command.
fn process_of(args: &Exec, container: &Container, spec: &Spec) -> Result<Process> {
    let own = spec.process().clone().unwrap_or_default();
    let (mut process, source) = match &args.process {
        Some(path) => (from_file(path, &own)?, path.clone()),
        None if args.command.is_empty() => {
            return Err(Error::Usage("exec needs a command or --process".to_owned()));
        }
        None => (from_args(args, own)?, container.dir.path.join("config.json")),
    };
    bundle::normalize_process(&mut process);
    bundle::check_process(&process).map_err(|reason| Error::Config { path: source, reason })?;
    Ok(process)
}

/// What the file leaves out is the container's own, as with runc.
fn from_file(path: &Path, own: &Process) -> Result<Process> {
    let json = bundle::read(path)?;
    let mut process: Process = legacy::parse(&json, legacy::upgrade_process)
        .map_err(|source| Error::Parse { path: path.to_owned(), source })?;
    if process.capabilities().is_none() {
        process.set_capabilities(own.capabilities().clone());
    }
    if process.rlimits().is_none() {
        process.set_rlimits(own.rlimits().clone());
    }
    if process.apparmor_profile().is_none() {
        process.set_apparmor_profile(own.apparmor_profile().clone());
    }
    if process.no_new_privileges().is_none() {
        process.set_no_new_privileges(own.no_new_privileges());
    }
    if process.oom_score_adj().is_none() {
        process.set_oom_score_adj(own.oom_score_adj());
    }
    Ok(process)
}

fn from_args(args: &Exec, mut process: Process) -> Result<Process> {
    process.set_args(Some(args.command.clone())).set_terminal(Some(args.tty)).set_console_size(None);
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(args.env.iter().cloned());
    process.set_env(Some(env));
    if let Some(cwd) = &args.cwd {
        process.set_cwd(cwd.clone());
    }
    if let Some(user) = args.user {
        process.user_mut().set_uid(user.uid);
        if let Some(gid) = user.gid {
            process.user_mut().set_gid(gid);
        }
    }
    if !args.additional_gids.is_empty() {
        process.user_mut().set_additional_gids(Some(args.additional_gids.clone()));
    }
    if let Some(profile) = &args.apparmor {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    if args.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    if !args.cap.is_empty() {
        let mut capabilities = process.capabilities().clone().unwrap_or_default();
        add_capabilities(&mut capabilities, &args.cap)?;
        process.set_capabilities(Some(capabilities));
    }
    Ok(process)
}

/// Adds to all sets but the inheritable and ambient ones: those would let capabilities survive in ways that nobody
/// asked for (GHSA-f3fp-gc8g-vw66).
fn add_capabilities(capabilities: &mut LinuxCapabilities, names: &[String]) -> Result<()> {
    let mut added = Vec::new();
    for name in names {
        let capability = serde_json::from_value::<Capability>(name.to_ascii_uppercase().into());
        added.push(capability.map_err(|_| Error::Usage(format!("unknown capability {name:?}")))?);
    }
    let with = |set: &Option<oci_spec::runtime::Capabilities>| {
        Some(set.iter().flatten().copied().chain(added.iter().copied()).collect())
    };
    capabilities.set_bounding(with(capabilities.bounding()));
    capabilities.set_effective(with(capabilities.effective()));
    capabilities.set_permitted(with(capabilities.permitted()));
    Ok(())
}

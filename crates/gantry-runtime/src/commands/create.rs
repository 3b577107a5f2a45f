//! `create`: builds a container whose process waits for `start`.

use gantry_record::failpoint;
use std::os::fd::OwnedFd;

use oci_spec::runtime::{Process, Spec};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::args::Create;
use crate::bundle::Bundle;
use crate::cgroup::Cgroup;
use crate::console::{Console, Terminal};
use crate::error::{Error, Result};
use crate::exit_code::ExitCode;
use crate::id::ContainerId;
use crate::launch::report::Channel;
use crate::launch::{Launch, Launched, Role, kill_and_reap};
use crate::store::{Container, ContainerDir, Record, Status, Store};
use crate::{hooks, ids, pid_file, protection, rootfs};

/// The version of the specification that states are written in.
pub(crate) const OCI_VERSION: &str = "1.2.0";

/// Runs the command.
pub(crate) fn run(store: &Store, args: &Create) -> Result<ExitCode> {
    protection::ensure()?;
    create(store, args, &Mode { detached: true, start_now: false })?;
    Ok(ExitCode::SUCCESS)
}

/// What differs between `create` and `run`.
pub(crate) struct Mode {
    /// Nobody stays to serve a terminal.
    pub(crate) detached: bool,
    /// The command is run at once.
    pub(crate) start_now: bool,
}

/// A container just created.
pub(crate) struct Created {
    pub(crate) container: Container,
    /// Its configuration.
    pub(crate) spec: Spec,
    pub(crate) launched: Launched,
    /// Where its terminal comes from, in the foreground.
    pub(crate) terminal: Option<OwnedFd>,
}

/// Creates a container, or leaves nothing.
pub(crate) fn create(store: &Store, args: &Create, mode: &Mode) -> Result<Created> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot("create containers"));
    }
    let bundle = Bundle::load(&args.new.bundle)?;
    let terminal = bundle.spec.process().as_ref().and_then(Process::terminal).unwrap_or(false);
    let owner = ids::user_on_host(&bundle.spec);
    let console = Console::open(terminal, mode.detached, args.new.console_socket.as_deref(), owner)?;
    let cgroup = Cgroup::of_spec(&bundle.spec, &args.id)?;
    let dir = store.claim(&args.id)?;
    failpoint::at("runtime::create::claimed");
    let created = build(&dir, args, mode, bundle, console, &cgroup);
    if created.is_err() {
        // The error that led here says more than one of clearing up would.
        let _ = cgroup.remove();
        let _ = dir.remove();
    }
    created
}

/// What is known of a container before its process is there.
pub(crate) fn new_record(id: &ContainerId, bundle: &Bundle, status: Status) -> Record {
    let annotations = bundle.spec.annotations().iter().flatten();
    Record {
        oci_version: OCI_VERSION.to_owned(),
        id: id.to_string(),
        pid: 0,
        status,
        bundle: bundle.path.clone(),
        rootfs: bundle.rootfs.clone(),
        created: OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
        annotations: annotations.map(|(name, value)| (name.clone(), value.clone())).collect(),
        // Only root gets here.
        owner: "root".to_owned(),
        init_process_start: 0,
    }
}

fn build(
    dir: &ContainerDir,
    args: &Create,
    mode: &Mode,
    bundle: Bundle,
    console: Option<Console>,
    cgroup: &Cgroup,
) -> Result<Created> {
    dir.save_config(&bundle.json)?;
    failpoint::at("runtime::create::config-saved");
    cgroup.create()?;
    failpoint::at("runtime::create::cgroup-made");
    if let Some(resources) = bundle.spec.linux().as_ref().and_then(|linux| linux.resources().as_ref()) {
        cgroup.limit(resources)?;
        failpoint::at("runtime::create::limited");
    }
    let status = if mode.start_now { Status::Running } else { Status::Created };
    let mut record = new_record(&args.id, &bundle, status);
    if let Some(process) = bundle.spec.process() {
        rootfs::ensure_directory(&bundle.rootfs, process.cwd(), bundle.spec.linux().as_ref())?;
    }
    let (console, terminal) = Console::split(console);
    let spec = bundle.spec.clone();
    let launched = Launch {
        id: args.id.as_str(),
        role: Role::Init,
        spec: bundle.spec,
        rootfs: bundle.rootfs,
        hook_state: hooks::container(&record, Status::Creating, &dir.path),
        cgroup,
        console,
        preserve_fds: args.preserve_fds,
        no_pivot: args.no_pivot,
        new_keyring: !args.no_new_keyring,
        notify_socket: dir.notify_socket(),
        start_now: mode.start_now,
        report: if mode.start_now { Channel::Pipe } else { Channel::Fifo(dir.start_fifo()) },
    }
    .launch()?;
    failpoint::at("runtime::create::launched");
    record.pid = launched.process.pid.as_raw_nonzero().get();
    record.init_process_start = launched.process.start_time;
    let finish = || {
        let terminal = terminal.map(Terminal::deliver).transpose()?.flatten();
        failpoint::at("runtime::create::terminal-sent");
        dir.save_record(&record)?;
        failpoint::at("runtime::create::record-saved");
        if let Some(path) = &args.new.pid_file {
            pid_file::write(path, launched.process.pid)?;
        }
        Ok(terminal)
    };
    let terminal = finish().inspect_err(|_| kill_and_reap(launched.process))?;
    failpoint::at("runtime::create::done");
    Ok(Created { container: Container { dir: dir.clone(), record }, spec, launched, terminal })
}

//! How a process gets into a container: the parent's side.
//!
//! ```text
//! parent (this command)                       child (the container's process)
//!   create cgroup, set limits
//!   clone3 ─────────────────────────────────▶ wait for the go, if there is one
//!   user namespace: write id maps, limits,
//!   cgroup; then the go ────────────────────▶ join cgroup, limits, given namespaces
//!                                             init: other namespaces, mounts, devices
//!   prestart, createRuntime hooks ◀─────────  asks for them
//!   done ───────────────────────────────────▶ createContainer hooks, pivot_root, masked paths
//!                                             libcontainer: credentials, seccomp, finds the command
//!   ready ◀─────────────────────────────────  waits on the notify socket for `start`
//!   (exec, run: starts it at once)            execve; its end of the report closes
//! ```
//!
//! There is one process between caller and container, this one. When it exits, the container's process goes to the
//! nearest subreaper. A child that fails says why on the [`report`] and exits; closing it without a word is success.

mod child;
pub(crate) mod namespaces;
pub(crate) mod report;
mod rlimits;

use gantry_record::failpoint;
use std::ffi::CString;
use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use libcgroups::common::CgroupConfig;
use libcontainer::container::Container;
use libcontainer::notify_socket::{NotifyListener, NotifySocket};
use libcontainer::process::args::{ContainerArgs, ContainerType};
use libcontainer::process::channel;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::user_ns::UserNamespaceConfig;
use oci_spec::runtime::{Linux, LinuxNamespaceType, Spec};
use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus};

use crate::cgroup::Cgroup;
use crate::error::{Error, Result, chain, file, system};
use crate::executable::CommandExecutor;
use crate::init::Init;
use crate::process::Identity;
use crate::sys::{self, Cloned};
use crate::{hooks, ids};
use namespaces::Entered;
use report::{Channel, Reader};

/// Whether a container's first process is launched or a further one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The first one, which builds the container.
    Init,
    /// One that joins it.
    Exec,
}

/// Everything about the process to launch.
pub(crate) struct Launch<'a> {
    pub(crate) id: &'a str,
    pub(crate) role: Role,
    /// The configuration, normalized. For an exec, its process, and namespaces that have paths.
    pub(crate) spec: Spec,
    /// The root filesystem, absolute.
    pub(crate) rootfs: PathBuf,
    /// What hooks get to see.
    pub(crate) hook_state: Container,
    pub(crate) cgroup: &'a Cgroup,
    /// Where the master of the terminal goes, if there is one.
    pub(crate) console: Option<OwnedFd>,
    pub(crate) preserve_fds: u16,
    pub(crate) no_pivot: bool,
    /// Whether the process gets the container's session keyring.
    pub(crate) new_keyring: bool,
    /// The socket to wait on for the start.
    pub(crate) notify_socket: PathBuf,
    /// Start at once instead of waiting.
    pub(crate) start_now: bool,
    /// How the process reports.
    pub(crate) report: Channel,
}

/// A process that is ready.
pub(crate) struct Launched {
    /// Who it is.
    pub(crate) process: Identity,
    /// What it reports from now on.
    report: Reader,
}

impl Launched {
    /// Waits until the command runs. A process that could not run it has ended, and been waited for, on return.
    pub(crate) fn wait_for_exec(&mut self, id: &str) -> Result<()> {
        let reason = self.report.read_to_end().map_err(system("read the report of the process"))?;
        if reason.is_empty() {
            return Ok(());
        }
        reap(self.process.pid);
        Err(Error::Launch { id: id.to_owned(), reason })
    }
}

/// Ends a child of this process and waits for it.
pub(crate) fn kill_and_reap(process: Identity) {
    let _ = rustix::process::kill_process(process.pid, Signal::KILL);
    reap(process.pid);
}

fn reap(pid: Pid) -> Option<WaitStatus> {
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(Some((_, status))) => return Some(status),
            _ => return None,
        }
    }
}

impl Launch<'_> {
    /// Launches the process. On failure nothing of it is left but, perhaps, its cgroup.
    pub(crate) fn launch(mut self) -> Result<Launched> {
        let linux = self.spec.linux().clone().unwrap_or_default();
        let prepare = |step| {
            let id = self.id.to_owned();
            move |source: Box<dyn std::error::Error + Send + Sync>| Error::Prepare { id, step, source }
        };
        let user_namespace = UserNamespaceConfig::new(&self.spec)
            .map_err(|e| prepare("check the user namespace")(e.into()))?;
        let mut executor = CommandExecutor::new(&mut self.spec);
        if self.role == Role::Init {
            let hooks = self.spec.hooks().as_ref().and_then(|hooks| hooks.start_container().clone());
            executor.set_start_hooks(hooks, self.hook_state.state.clone());
        }
        let listener = NotifyListener::new(&self.notify_socket)
            .map_err(|e| prepare("create the notify socket")(e.into()))?;
        let (main_sender, mut main_receiver) =
            channel::main_channel().map_err(|e| prepare("create a channel")(e.into()))?;
        let (mut init_sender, init_receiver) =
            channel::init_channel().map_err(|e| prepare("create a channel")(e.into()))?;
        failpoint::at("runtime::launch::socket-made");
        let (mut reader, writer) = self.report.open()?;
        failpoint::at("runtime::launch::report-opened");
        if self.start_now {
            // The word to start waits in the socket, so that the child need not.
            let notified = NotifySocket::new(&self.notify_socket).notify_container_start();
            notified.map_err(|e| prepare("start the process")(e.into()))?;
            fs::remove_file(&self.notify_socket).map_err(file("remove", &self.notify_socket))?;
        }
        if let Some(adjustment) =
            self.spec.process().as_ref().and_then(oci_spec::runtime::Process::oom_score_adj)
        {
            let path = "/proc/self/oom_score_adj";
            fs::write(path, adjustment.to_string()).map_err(file("set the OOM score in", path))?;
        }
        self.give_stdio();
        // From here on this process may be looked at from inside the container.
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .map_err(system("make the runtime invisible to the container"))?;

        let new_user_namespace = user_namespace.is_some();
        let (go_parent, go_child) = UnixStream::pair().map_err(system("create a socket pair"))?;
        let args = self.container_args(executor, listener, user_namespace);
        failpoint::at("runtime::launch::prepared");
        let entered = Entered::enter(&linux)?;
        let v2 = self.cgroup.open_v2()?;
        let flags = clone_flags(&linux);
        // SAFETY: a command of the runtime's has one thread, and `clone_flags` knows namespaces alone.
        let clone = |cgroup| unsafe { sys::clone3(flags, cgroup) };
        let (cloned, born_inside) = match clone(v2.as_ref().map(AsFd::as_fd)) {
            // A kernel before 5.7, or a cgroup that takes no process this way: it can still join by itself.
            Err(_) if v2.is_some() => (clone(None), false),
            other => (other, v2.is_some()),
        };
        let (pid, _pidfd) = match cloned.map_err(system("clone the container's process"))? {
            Cloned::Child => {
                drop((go_parent, reader));
                let _ = (init_sender.close(), main_receiver.close());
                let joins = !born_inside && !new_user_namespace;
                let init = (self.role == Role::Init).then(|| Init {
                    id: self.id,
                    spec: &self.spec,
                    rootfs: &self.rootfs,
                    bundle: &self.hook_state.state.bundle,
                    cgroup: self.cgroup,
                    no_pivot: self.no_pivot,
                    console: self.console.as_ref().map(AsFd::as_fd),
                    state: &self.hook_state.state,
                });
                child::run(child::Child {
                    args: &args,
                    init,
                    go: new_user_namespace.then_some(go_child),
                    cgroup: joins.then_some(self.cgroup),
                    keyring: if self.new_keyring {
                        CString::new(format!("_ses.{}", self.id)).ok()
                    } else {
                        None
                    },
                    entered,
                    main_sender,
                    init_receiver,
                    report: writer,
                })
            }
            Cloned::Parent { pid, pidfd } => (pid, pidfd),
        };
        failpoint::at("runtime::launch::cloned");
        drop((go_child, writer));
        let _ = (main_sender.close(), init_receiver.close());
        let launched = entered.leave().and_then(|()| {
            let process = Identity::of(pid).map_err(system("look at the container's process"))?;
            if new_user_namespace {
                self.complete_user_namespace(&linux, pid, !born_inside)?;
                (&go_parent).write_all(&[1]).map_err(system("let the container's process go on"))?;
            }
            failpoint::at("runtime::launch::identified");
            self.serve(pid, &mut main_receiver, &mut init_sender)?;
            failpoint::at("runtime::launch::ready");
            Ok(process)
        });
        let ended = launched.is_err().then(|| rustix::process::kill_process(pid, Signal::KILL));
        // Only now, so that a child that waits here says nothing of its own about it.
        let _ = (ended, init_sender.close(), main_receiver.close());
        match launched {
            Ok(process) => Ok(Launched { process, report: reader }),
            Err(error) => {
                let status = reap(pid);
                let reason = reader.read_to_end().unwrap_or_default();
                Err(self.explain(error, reason, status))
            }
        }
    }

    /// Answers what the child asks for until it is ready.
    fn serve(
        &self,
        pid: Pid,
        from_child: &mut channel::MainReceiver,
        to_child: &mut channel::InitSender,
    ) -> Result<()> {
        let lost = |e: channel::ChannelError| Error::Launch { id: self.id.to_owned(), reason: chain(&e) };
        if self.role == Role::Init
            && let Some(hooks) = self.spec.hooks()
        {
            from_child.wait_for_hook_request().map_err(lost)?;
            let mut state = self.hook_state.state.clone();
            state.pid = Some(pid.as_raw_nonzero().get());
            hooks::run(self.id, "prestart", hooks.prestart().as_ref(), &state)?;
            hooks::run(self.id, "createRuntime", hooks.create_runtime().as_ref(), &state)?;
            to_child.hook_done().map_err(lost)?;
        }
        from_child.wait_for_init_ready().map_err(lost)
    }

    /// The child's own words if it said any; else what was seen of its end.
    fn explain(&self, error: Error, reason: String, status: Option<WaitStatus>) -> Error {
        let reason = match error {
            // The child can only say that it was left.
            hook @ Error::Hook { .. } => return hook,
            _ if !reason.is_empty() => reason,
            Error::Launch { reason, .. } => {
                let killed = status.and_then(WaitStatus::terminating_signal).filter(|s| *s != libc::SIGKILL);
                match killed {
                    Some(signal) => format!("it was killed by signal {signal} before it was ready"),
                    None => reason,
                }
            }
            other => return other,
        };
        Error::Launch { id: self.id.to_owned(), reason }
    }

    /// What only the parent may do for a child in a new user namespace.
    fn complete_user_namespace(&self, linux: &Linux, pid: Pid, join: bool) -> Result<()> {
        let directory = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
        for (name, mappings) in [("uid_map", linux.uid_mappings()), ("gid_map", linux.gid_mappings())] {
            let lines = mappings.iter().flatten().fold(String::new(), |lines, mapping| {
                lines + &format!("{} {} {}\n", mapping.container_id(), mapping.host_id(), mapping.size())
            });
            let path = directory.join(name);
            fs::write(&path, lines).map_err(file("write", path))?;
        }
        if join {
            self.cgroup.add(pid)?;
        }
        rlimits::apply(&self.spec, Some(pid))
    }

    /// Lets the container's user reopen its standard streams, as `/dev/stdout` does. What takes no owner keeps its own.
    fn give_stdio(&self) {
        if self.console.is_some() {
            return;
        }
        let uid = ids::user_on_host(&self.spec);
        let null = rustix::fs::stat("/dev/null").map(|s| s.st_rdev).unwrap_or_default();
        for stream in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
            let shared = |s: &rustix::fs::Stat| s.st_uid == uid || s.st_rdev == null;
            if rustix::fs::fstat(stream).is_ok_and(|stat| !shared(&stat)) {
                let _ = rustix::fs::fchown(stream, Some(rustix::fs::Uid::from_raw(uid)), None);
            }
        }
    }

    fn container_args(
        &self,
        executor: CommandExecutor,
        notify_listener: NotifyListener,
        user_ns_config: Option<UserNamespaceConfig>,
    ) -> ContainerArgs {
        let mut spec = self.spec.clone();
        if self.role == Role::Init {
            // What is left once the container is built is what a further process of it needs.
            spec.set_mounts(None).set_hooks(None);
            if let Some(linux) = spec.linux_mut() {
                linux.set_namespaces(None);
            }
        }
        ContainerArgs {
            // The descriptor is only used by libcontainer's own way of launching.
            container_type: ContainerType::TenantContainer { exec_notify_fd: -1 },
            syscall: SyscallType::Linux,
            spec: Rc::new(spec),
            rootfs: self.rootfs.clone(),
            console_socket: match self.role {
                Role::Init => None,
                Role::Exec => self.console.as_ref().map(AsRawFd::as_raw_fd),
            },
            notify_listener,
            preserve_fds: self.preserve_fds.into(),
            container: Some(self.hook_state.clone()),
            user_ns_config,
            cgroup_config: CgroupConfig {
                cgroup_path: PathBuf::new(),
                systemd_cgroup: false,
                container_name: self.id.to_owned(),
            },
            detached: true,
            executor: Box::new(executor),
            no_pivot: self.no_pivot,
            stdin: None,
            stdout: None,
            stderr: None,
            as_sibling: false,
            pid_file: None,
        }
    }
}

/// The namespaces that the child is born into. The others it makes itself, inside these.
fn clone_flags(linux: &Linux) -> i32 {
    linux.namespaces().iter().flatten().filter(|ns| ns.path().is_none()).fold(0, |flags, ns| match ns.typ() {
        LinuxNamespaceType::Pid => flags | libc::CLONE_NEWPID,
        LinuxNamespaceType::User => flags | libc::CLONE_NEWUSER,
        _ => flags,
    })
}

/// Tells a process that waits on its notify socket to run its command.
pub(crate) fn notify(socket: &Path, id: &str) -> Result<()> {
    NotifySocket::new(socket).notify_container_start().map_err(|e| Error::Prepare {
        id: id.to_owned(),
        step: "start the process",
        source: e.into(),
    })
}

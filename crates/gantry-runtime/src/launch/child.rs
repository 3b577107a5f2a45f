//! How a process gets into a container: the child's side, up to the execve of its command.

use gantry_record::failpoint;
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use libcontainer::process::args::ContainerArgs;
use libcontainer::process::channel;
use libcontainer::process::init::container_init_process;
use oci_spec::runtime::Spec;

use crate::cgroup::Cgroup;
use crate::error::{Error, chain};
use crate::init::Init;
use crate::launch::namespaces::{Entered, become_root};
use crate::launch::rlimits;
use crate::{sys, trace};

/// What the child has from its parent.
pub(crate) struct Child<'a> {
    pub(crate) args: &'a ContainerArgs,
    /// What to build before; nothing for a process that joins a container.
    pub(crate) init: Option<Init<'a>>,
    /// Where the parent's go comes from, for a child in a new user namespace.
    pub(crate) go: Option<UnixStream>,
    /// The cgroup to join; none if the parent sees to that.
    pub(crate) cgroup: Option<&'a Cgroup>,
    /// The session keyring to join.
    pub(crate) keyring: Option<CString>,
    pub(crate) entered: Entered,
    pub(crate) main_sender: channel::MainSender,
    pub(crate) init_receiver: channel::InitReceiver,
    pub(crate) report: OwnedFd,
}

/// Why the child failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Own(#[from] Error),
    #[error("the runtime went away")]
    Abandoned,
    #[error(transparent)]
    Init(Box<libcontainer::process::init::error::InitProcessError>),
}

/// Becomes the container's process. Whatever fails goes to the report; this process is a copy of its parent and must
/// never return into the parent's code.
pub(crate) fn run(mut child: Child<'_>) -> ! {
    let report = child.report.try_clone();
    let outcome = catch_unwind(AssertUnwindSafe(|| enter(&mut child)));
    let reason = match outcome {
        Ok(Ok(())) => "the command was not executed".to_owned(),
        Ok(Err(failure)) => explain(&failure, &child.args.spec),
        Err(_) => "the runtime panicked while it set up the container".to_owned(),
    };
    if let Ok(report) = report {
        // One write below PIPE_BUF bytes arrives whole. If nobody listens any more there is nobody to tell.
        let _ = File::from(report).write_all(truncated(&reason).as_bytes());
    }
    sys::exit_now(1)
}

fn enter(child: &mut Child<'_>) -> Result<(), Failure> {
    failpoint::at("runtime::child::cloned");
    if let Some(go) = child.go.take() {
        let mut byte = [0];
        (&go).read_exact(&mut byte).map_err(|_| Failure::Abandoned)?;
        become_root()?;
    } else {
        if let Some(cgroup) = child.cgroup {
            cgroup.join()?;
            failpoint::at("runtime::child::cgroup-joined");
        }
        rlimits::apply(&child.args.spec, None)?;
    }
    if let Some(name) = &child.keyring {
        // Kernels without keyrings, and filters that refuse them, are no reason not to run.
        let _ = sys::join_session_keyring(name);
    }
    failpoint::at("runtime::child::limited");
    std::mem::take(&mut child.entered).join_in_child()?;
    failpoint::at("runtime::child::entered");
    if let Some(init) = &child.init {
        init.build(&mut child.main_sender, &mut child.init_receiver)?;
        failpoint::at("runtime::child::built");
    }
    container_init_process(child.args, &mut child.main_sender, &mut child.init_receiver)
        .map_err(|e| Failure::Init(Box::new(e)))
}

/// The failure with its causes and, where libcontainer kept the object to itself, what it logged about it.
fn explain(failure: &Failure, spec: &Spec) -> String {
    use libcontainer::process::init::error::InitProcessError as Init;
    let text = chain(failure);
    let complete = match failure {
        Failure::Init(error) => {
            matches!(**error, Init::WorkloadValidation(_) | Init::Workload(_) | Init::WorkloadSetEnvs(_))
        }
        _ => true,
    };
    match trace::take_first_error() {
        Some(detail) if detail.starts_with("failed to chdir") => {
            let cwd = spec.process().as_ref().map(|process| process.cwd().clone()).unwrap_or_default();
            format!("failed to change to process.cwd {}: {text}", cwd.display())
        }
        Some(detail) if !complete && !text.contains(&detail) => format!("{text}: {detail}"),
        _ => text,
    }
}

/// At most what a pipe takes in one piece.
fn truncated(text: &str) -> &str {
    const MOST: usize = 4000;
    text.get(..text.floor_char_boundary(MOST)).unwrap_or(text)
}

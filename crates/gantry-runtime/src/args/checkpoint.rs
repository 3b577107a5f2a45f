//! Flags of `checkpoint` and `restore`, runc's. Those that are not supported are known, so that they are refused by name.

use std::path::PathBuf;

use clap::Args;

use super::New;
use crate::error::{Error, Result};
use crate::id::ContainerId;

/// What both commands take.
#[derive(Debug, Args)]
pub(crate) struct Criu {
    /// Directory of the images
    #[arg(long, value_name = "DIR", default_value = "checkpoint")]
    pub(crate) image_path: PathBuf,
    /// Directory for CRIU's logs and other files; that of the images by default
    #[arg(long, value_name = "DIR")]
    pub(crate) work_path: Option<PathBuf>,
    /// Save or restore open TCP connections
    #[arg(long)]
    pub(crate) tcp_established: bool,
    /// Allow Unix sockets that lead out of the container
    #[arg(long)]
    pub(crate) ext_unix_sk: bool,
    /// Allow processes whose session or terminal is outside
    #[arg(long)]
    pub(crate) shell_job: bool,
    /// Save or restore file locks
    #[arg(long)]
    pub(crate) file_locks: bool,
    /// Make a namespace, but restore nothing in it (network)
    #[arg(long, value_name = "KIND")]
    pub(crate) empty_ns: Vec<String>,
    /// What to do with cgroups: soft, full, strict or ignore
    #[arg(long, value_name = "MODE", default_value = "soft")]
    pub(crate) manage_cgroups_mode: String,
    /// Find memory that was written twice
    #[arg(long)]
    pub(crate) auto_dedup: bool,
    /// Serve memory when it is needed (not supported: refused)
    #[arg(long)]
    lazy_pages: bool,
}

/// Flags of `checkpoint`.
#[derive(Debug, Args)]
pub(crate) struct Checkpoint {
    #[command(flatten)]
    pub(crate) criu: Criu,
    /// Let the container run on
    #[arg(long)]
    pub(crate) leave_running: bool,
    /// Images of an earlier pre-dump (not supported: refused)
    #[arg(long, value_name = "DIR")]
    parent_path: Option<PathBuf>,
    /// Save memory only (not supported: refused)
    #[arg(long)]
    pre_dump: bool,
    /// Where memory is sent (not supported: refused)
    #[arg(long, value_name = "ADDRESS:PORT")]
    page_server: Option<String>,
    /// Descriptor that tells when memory is served (not supported: refused)
    #[arg(long, value_name = "FD")]
    status_fd: Option<i32>,
    /// The container
    pub(crate) id: ContainerId,
}

/// Flags of `restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    pub(crate) criu: Criu,
    #[command(flatten)]
    pub(crate) new: New,
    /// Leave the container running in the background
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Accepted for compatibility: this command reaps nobody's processes
    #[arg(long)]
    no_subreaper: bool,
    /// Move the root instead of pivoting (not supported: refused)
    #[arg(long)]
    no_pivot: bool,
    /// Another security label (not supported: refused)
    #[arg(long, value_name = "TYPE:NAME")]
    lsm_profile: Option<String>,
    /// Another label of mounts (not supported: refused)
    #[arg(long, value_name = "CONTEXT")]
    lsm_mount_context: Option<String>,
    /// The container
    pub(crate) id: ContainerId,
}

impl Criu {
    /// Whether the network namespace starts empty.
    pub(crate) fn empty_network(&self) -> bool {
        self.empty_ns.iter().any(|kind| kind == "network")
    }

    fn check(&self) -> Result<()> {
        if let Some(kind) = self.empty_ns.iter().find(|kind| *kind != "network") {
            return Err(Error::Unsupported(format!("--empty-ns {kind}")));
        }
        if !matches!(self.manage_cgroups_mode.as_str(), "soft" | "full" | "strict" | "ignore") {
            return Err(Error::Usage(format!("--manage-cgroups-mode {}", self.manage_cgroups_mode)));
        }
        refuse(&[(self.lazy_pages, "--lazy-pages")])
    }
}

impl Checkpoint {
    /// Refuses what is not supported.
    pub(crate) fn check(&self) -> Result<()> {
        self.criu.check()?;
        refuse(&[
            (self.parent_path.is_some(), "--parent-path"),
            (self.pre_dump, "--pre-dump"),
            (self.page_server.is_some(), "--page-server"),
            // runc's own default is the number of no descriptor.
            (self.status_fd.is_some_and(|fd| fd >= 0), "--status-fd"),
        ])
    }
}

impl Restore {
    /// Refuses what is not supported.
    pub(crate) fn check(&self) -> Result<()> {
        self.criu.check()?;
        refuse(&[
            (self.no_pivot, "--no-pivot for a restore"),
            (self.lsm_profile.is_some(), "--lsm-profile"),
            (self.lsm_mount_context.is_some(), "--lsm-mount-context"),
        ])
    }
}

fn refuse(flags: &[(bool, &str)]) -> Result<()> {
    match flags.iter().find(|(given, _)| *given) {
        Some((_, name)) => Err(Error::Unsupported((*name).to_owned())),
        None => Ok(()),
    }
}

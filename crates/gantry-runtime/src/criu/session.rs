//! One save or restore: its options, and what came of it.

use std::fs::{self, DirBuilder, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};

use rust_criu::rust_criu_protobuf::rpc::Criu_notify;
use rust_criu::{CgMode, Criu, CriuError};

use crate::args;
use crate::error::{Error, Result, chain, file};

/// CRIU's levels: errors, warnings, what it does, everything.
const LOG_LEVEL: i32 = 4;
/// How many of the log's errors are told.
const ERRORS_TOLD: usize = 3;

/// The pid of the first process that a restore made. `rust-criu` takes a function and no closure, and one process does
/// one restore.
static RESTORED: AtomicI32 = AtomicI32::new(0);

/// CRIU with the options that both commands share.
pub(crate) struct Session {
    pub(crate) criu: Criu,
    log: PathBuf,
    step: &'static str,
    id: String,
    /// CRIU opens them by their numbers in this process.
    _directories: [File; 2],
}

impl Session {
    /// Opens the directories and sets what both commands take.
    pub(crate) fn new(
        step: &'static str,
        id: &str,
        images: &Path,
        log: &'static str,
        args: &args::Criu,
    ) -> Result<Self> {
        let work = args.work_path.as_deref().unwrap_or(images);
        let work = directory(work)?;
        let (images_dir, work_dir) = (open(images)?, open(&work)?);
        let mut criu = Criu::new().map_err(|e| failed(step, id, &e, None))?;
        criu.set_images_dir_fd(images_dir.as_raw_fd());
        criu.set_work_dir_fd(work_dir.as_raw_fd());
        criu.set_log_file(log.to_owned());
        criu.set_log_level(LOG_LEVEL);
        criu.set_tcp_established(args.tcp_established);
        criu.set_ext_unix_sk(args.ext_unix_sk);
        criu.set_shell_job(args.shell_job);
        criu.set_file_locks(args.file_locks);
        criu.set_empty_net_ns(args.empty_network());
        criu.set_auto_dedup(args.auto_dedup);
        criu.set_orphan_pts_master(true);
        criu.set_manage_cgroups(true);
        criu.cgroups_mode(match args.manage_cgroups_mode.as_str() {
            "full" => CgMode::FULL,
            "strict" => CgMode::STRICT,
            "ignore" => CgMode::IGNORE,
            _ => CgMode::SOFT,
        });
        let log = work.join(log);
        Ok(Self { criu, log, step, id: id.to_owned(), _directories: [images_dir, work_dir] })
    }

    /// Saves.
    pub(crate) fn dump(mut self) -> Result<()> {
        self.criu.dump().map_err(|e| failed(self.step, &self.id, &e, Some(&self.log)))
    }

    /// Restores. Returns the first process's pid, and the master of its terminal if it has one that was left behind.
    pub(crate) fn restore(mut self) -> Result<(i32, Option<OwnedFd>)> {
        fn note(script: &str, message: &Criu_notify, _fd: Option<i32>) -> i32 {
            if script == "post-restore" {
                RESTORED.store(message.pid(), Ordering::Relaxed);
            }
            0
        }
        self.criu.set_notify_scripts(true);
        self.criu.set_notify_cb(note);
        self.criu.restore().map_err(|e| failed(self.step, &self.id, &e, Some(&self.log)))?;
        Ok((RESTORED.load(Ordering::Relaxed), self.criu.take_orphan_pts_master_fd()))
    }
}

/// Makes a directory for one container's memory: only root may look.
pub(crate) fn directory(path: &Path) -> Result<PathBuf> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(file("create directory", path))?;
    fs::canonicalize(path).map_err(file("find directory", path))
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(file("open directory", path))
}

/// What CRIU has to say stands in its log.
fn failed(step: &'static str, id: &str, error: &CriuError, log: Option<&PathBuf>) -> Error {
    let mut reason = chain(error);
    if let CriuError::Spawn { source, .. } = error
        && source.kind() == std::io::ErrorKind::NotFound
    {
        reason = "criu is not installed".to_owned();
    }
    if let Some(log) = log {
        let text = fs::read_to_string(log).unwrap_or_default();
        let errors: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_once("Error ").map(|(_, error)| error.trim()))
            .take(ERRORS_TOLD)
            .collect();
        if !errors.is_empty() {
            reason = format!("{reason}: {}", errors.join("; "));
        }
        reason = format!("{reason}; log file: {}", log.display());
    }
    Error::Criu { step, id: id.to_owned(), reason }
}

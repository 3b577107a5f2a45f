//! One daemon a state dir: two would each undo what the other starts.

use crate::error::Error;
use gantry_record::StateDir;
use gantry_record::failpoint;
use gantry_record::layout::FILE_MODE;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use tracing::warn;

/// Held for the daemon's life; the kernel lets go of it however that ends.
#[derive(Debug)]
pub(crate) struct StateDirLock(#[allow(dead_code, reason = "held open, never read")] File);

impl StateDirLock {
    /// Takes the lock and writes down who holds it.
    pub(crate) fn take(state: &StateDir) -> Result<Self, Error> {
        let path = state.path().join("gantryd.lock");
        let failed = |source: std::io::Error| Error::Lock { path: path.clone(), source };
        let mut options = File::options();
        // Whoever can read it can lock it, and so keep the daemon from starting.
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE.bits());
        failpoint::io("daemon::open::lock-open").map_err(|e| failed(e.into()))?;
        // What somebody may have put there is neither waited for nor written through.
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let mut file = match options.open(&path) {
            Ok(file) => file,
            Err(_) if move_stranger(state, &path) => options.open(&path).map_err(failed)?,
            Err(error) => return Err(failed(error)),
        };
        if !file.metadata().map_err(failed)?.is_file() && move_stranger(state, &path) {
            file = options.open(&path).map_err(failed)?;
        }
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                let owner = match file.read_to_string(&mut pid) {
                    Ok(_) if !pid.trim().is_empty() => format!(" (pid {})", pid.trim()),
                    _ => String::new(),
                };
                return Err(Error::StateDirInUse { path: state.path().to_owned(), owner });
            }
            Err(error) => return Err(failed(error.into())),
        }
        // The pid is for people only; a full disk must not keep the daemon from starting.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self(file))
    }
}

/// Moves what is no file out of the lock's place: no daemon has put it there. Whether there was such a thing.
fn move_stranger(state: &StateDir, path: &Path) -> bool {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => {}
        _ => return false,
    }
    let moved = state.put_aside(path);
    match &moved {
        Ok(kept) => {
            warn!(path = %path.display(), kept_in = %kept.display(), "the lock of the state dir is no file; it is set aside");
        }
        Err(error) => {
            warn!(path = %path.display(), %error, "the lock of the state dir is no file and cannot be set aside");
        }
    }
    moved.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_told_who_is_first() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let held = StateDirLock::take(&state).unwrap();
        let error = StateDirLock::take(&state).unwrap_err().to_string();
        assert!(error.contains(&format!("(pid {})", std::process::id())), "{error}");
        drop(held);
        StateDirLock::take(&state).unwrap();
    }
}

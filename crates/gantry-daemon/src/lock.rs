//! One daemon a state dir: two would each undo what the other starts.

use crate::error::Error;
use gantry_record::StateDir;
use gantry_record::failpoint;
use gantry_record::layout::FILE_MODE;
use gantry_record::proc::ProcStat;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tracing::warn;

/// How long the lock of a daemon that is gone is waited for, and the pause between two looks: a child that it was making
/// when it was killed has the lock too, until its execve.
const HEIR_LIMIT: Duration = Duration::from_secs(5);
const HEIR_PAUSE: Duration = Duration::from_millis(10);
const MAX_PID_BYTES: u64 = 32;

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
        let deadline = Instant::now() + HEIR_LIMIT;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) => {}
                Err(error) => return Err(failed(error.into())),
            }
            let owner = owner(&mut file).map_err(failed)?;
            if owner.as_deref().is_some_and(runs) || Instant::now() >= deadline {
                let owner = owner.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
                return Err(Error::StateDirInUse { path: state.path().to_owned(), owner });
            }
            // The kernel would tell of the end of one holder, but wait for the next one too if that is a daemon.
            std::thread::sleep(HEIR_PAUSE);
        }
        // The pid is for people only; a full disk must not keep the daemon from starting.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self(file))
    }
}

/// The pid that the holder has written, if it could.
fn owner(file: &mut File) -> std::io::Result<Option<String>> {
    let mut text = String::new();
    file.rewind()?;
    file.take(MAX_PID_BYTES).read_to_string(&mut text)?;
    Ok(Some(text.trim().to_owned()).filter(|pid| !pid.is_empty()))
}

/// Whether that is a process that runs, and no zombie: that one holds nothing any more.
fn runs(pid: &str) -> bool {
    let stat = pid.parse().ok().and_then(ProcStat::of);
    stat.is_some_and(|stat| !stat.is_zombie())
}

/// Moves what is no file out of the lock's place: no daemon has put it there. Whether there was such a thing.
fn move_stranger(state: &StateDir, path: &Path) -> bool {
    match state.put_stranger_aside(path) {
        Ok(None) => false,
        Ok(Some(kept)) => {
            warn!(path = %path.display(), kept_in = %kept.display(), "the lock of the state dir is no file; it is set aside");
            true
        }
        Err(error) => {
            warn!(path = %path.display(), %error, "the lock of the state dir is no file and cannot be set aside");
            false
        }
    }
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

    #[test]
    fn what_a_killed_daemon_was_making_does_not_keep_the_next_one_from_starting() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let StateDirLock(heir) = StateDirLock::take(&state).unwrap();
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        std::fs::write(folder.path().join("gantryd.lock"), format!("{}\n", gone.id())).unwrap();
        std::thread::scope(|scope| {
            let next = scope.spawn(|| StateDirLock::take(&state));
            std::thread::sleep(HEIR_PAUSE * 3);
            assert!(!next.is_finished());
            drop(heir);
            next.join().unwrap().unwrap();
        });
    }
}

//! What happens at a point in builds that have them.

use super::{HIT, Result, TRACE, VARIABLE};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::path::Path;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// The folder, and what kind of process this is.
static ARMED: RwLock<Option<(OwnedFd, &'static str)>> = RwLock::new(None);

/// The most that the file of a point holds.
const MAX_BYTES: usize = 64;

/// What happens at a point.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    Kill,
    Error(Errno),
    Delay(Duration),
}

impl Action {
    /// Reads the file of a point: what is to happen, and whether again and again.
    fn read(text: &str) -> Option<(Self, bool)> {
        let mut words = text.split_ascii_whitespace();
        let action = match words.next()? {
            "kill" => Self::Kill,
            "error" => Self::Error(errno(words.next()?)?),
            "delay" => Self::Delay(Duration::from_millis(words.next()?.parse().ok()?)),
            _ => return None,
        };
        match words.next() {
            None => Some((action, false)),
            Some("always") => Some((action, true)),
            Some(_) => None,
        }
    }
}

/// An error by its name, as in errno(3), or number.
fn errno(name: &str) -> Option<Errno> {
    Some(match name {
        "EACCES" => Errno::ACCESS,
        "EAGAIN" => Errno::AGAIN,
        "EBUSY" => Errno::BUSY,
        "EDQUOT" => Errno::DQUOT,
        "EEXIST" => Errno::EXIST,
        "EINTR" => Errno::INTR,
        "EINVAL" => Errno::INVAL,
        "EIO" => Errno::IO,
        "EMFILE" => Errno::MFILE,
        "ENFILE" => Errno::NFILE,
        "ENOENT" => Errno::NOENT,
        "ENOMEM" => Errno::NOMEM,
        "ENOSPC" => Errno::NOSPC,
        "EPERM" => Errno::PERM,
        "EROFS" => Errno::ROFS,
        "ESRCH" => Errno::SRCH,
        number => Errno::from_raw_os_error(number.parse().ok()?),
    })
}

pub(super) fn arm(process: &'static str) {
    let folder = std::env::var_os(VARIABLE).and_then(|folder| {
        fs::open(&folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
    });
    let mut armed = ARMED.write().unwrap_or_else(PoisonError::into_inner);
    if let Some((before, _)) = armed.take() {
        // In a fork that has closed all it inherited, the number may be somebody else's by now.
        let _ = before.into_raw_fd();
    }
    *armed = folder.map(|folder| (folder, process));
}

pub(super) fn pass(name: &str) -> Result {
    let armed = ARMED.read().unwrap_or_else(PoisonError::into_inner);
    let Some((folder, _)) = &*armed else { return Ok(()) };
    pass_in(folder.as_fd(), name)
}

pub(super) fn pass_record(path: &Path, step: &str) -> Result {
    let armed = ARMED.read().unwrap_or_else(PoisonError::into_inner);
    let Some((folder, process)) = &*armed else { return Ok(()) };
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    pass_in(folder.as_fd(), &format!("{process}::record::{file}::{step}"))
}

fn pass_in(folder: BorrowedFd<'_>, name: &str) -> Result {
    let append = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC;
    if let Ok(trace) = fs::openat(folder, TRACE, append, Mode::empty()) {
        let _ = rustix::io::write(trace, format!("{name}\n").as_bytes());
    }
    let Ok(file) = fs::openat(folder, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else {
        return Ok(());
    };
    let mut content = [0_u8; MAX_BYTES];
    let length = rustix::io::read(&file, &mut content).unwrap_or_default();
    let text = String::from_utf8_lossy(content.get(..length).unwrap_or_default());
    let Some((action, always)) = Action::read(&text) else { return Ok(()) };
    let hit = format!("{name}{HIT}");
    if always {
        let _ = fs::openat(folder, &hit, OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC, Mode::RUSR);
    } else if fs::renameat(folder, name, folder, &hit).is_err() {
        // Another process was quicker.
        return Ok(());
    }
    match action {
        Action::Error(errno) => Err(errno),
        Action::Delay(delay) => {
            std::thread::sleep(delay);
            Ok(())
        }
        Action::Kill => {
            // The first process of a pid namespace cannot be killed by itself, and a shim's filter has no kill(2).
            // Then it ends by an instruction that faults (abort(3)).
            let _ = kill_process(getpid(), Signal::KILL);
            std::process::abort()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_read_and_nonsense_is_none() {
        assert_eq!(Action::read("kill\n"), Some((Action::Kill, false)));
        assert_eq!(Action::read("error ENOSPC always"), Some((Action::Error(Errno::NOSPC), true)));
        assert_eq!(Action::read("error 5"), Some((Action::Error(Errno::IO), false)));
        assert_eq!(Action::read("delay 20"), Some((Action::Delay(Duration::from_millis(20)), false)));
        for nonsense in ["", "error", "error EWHAT", "delay x", "kill twice", "die"] {
            assert_eq!(Action::read(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn an_armed_point_fires_once_or_always_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let there = |name: &str| folder.path().join(name).exists();
        let opened = fs::open(folder.path(), OFlags::PATH, Mode::empty()).unwrap();
        let pass = |name: &str| pass_in(opened.as_fd(), name);
        write("a::once", "error EIO");
        write("a::always", "error ENOSPC always");
        write(TRACE, "");
        assert_eq!(pass("a::other"), Ok(()));
        assert_eq!((pass("a::once"), pass("a::once")), (Err(Errno::IO), Ok(())));
        assert_eq!((pass("a::always"), pass("a::always")), (Err(Errno::NOSPC), Err(Errno::NOSPC)));
        assert!(there("a::once.hit") && !there("a::once") && there("a::always.hit") && there("a::always"));
        let trace = std::fs::read_to_string(folder.path().join(TRACE)).unwrap();
        assert_eq!(trace, "a::other\na::once\na::once\na::always\na::always\n");
    }
}

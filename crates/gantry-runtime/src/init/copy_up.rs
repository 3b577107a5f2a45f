//! A tmpfs that begins with what it covers (`tmpcopyup`, an option of runc's).
//!
//! The tmpfs is attached nowhere yet and nobody else can write to it. What is copied is the image's: names are taken one
//! by one from directories that are open, and links are copied, never followed.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chownat, fchmod, mkdirat,
    mknodat, openat, readlinkat, statat, symlinkat, utimensat,
};
use rustix::io::Errno;

/// How deep directories may be nested. Each level keeps two descriptors open.
const DEEPEST: u32 = 64;

/// Copies what is in a directory, and its own mode and owner.
pub(crate) fn copy(from: BorrowedFd<'_>, to: &OwnedFd) -> std::io::Result<()> {
    copy_directory(from, to.as_fd(), 0)?;
    let stat = rustix::fs::fstat(from)?;
    give(to.as_fd(), c".", &stat)
}

fn copy_directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: u32) -> std::io::Result<()> {
    if depth == DEEPEST {
        return Err(Errno::LOOP.into());
    }
    let listed = openat(from, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    for entry in Dir::read_from(&listed)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(listed.as_fd(), to, name, depth)?;
        }
    }
    Ok(())
}

fn copy_entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: u32) -> std::io::Result<()> {
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            mkdirat(to, name, Mode::RWXU)?;
            let open = |at| openat(at, name, flags | OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
            copy_directory(open(from)?.as_fd(), open(to)?.as_fd(), depth + 1)?;
        }
        FileType::RegularFile => {
            let mut source = File::from(openat(from, name, flags | OFlags::RDONLY, Mode::empty())?);
            let create = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            std::io::copy(&mut source, &mut File::from(openat(to, name, create, Mode::RWXU)?))?;
        }
        FileType::Symlink => symlinkat(readlinkat(from, name, Vec::new())?.as_c_str(), to, name)?,
        kind => mknodat(to, name, kind, Mode::RWXU, stat.st_rdev)?,
    }
    give(to, name, &stat)
}

/// Gives owner, mode and times. The owner first: a change of it takes set-user-id away.
fn give(at: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> std::io::Result<()> {
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    match chownat(at, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW) {
        // In a user namespace that does not know the owner it is the namespace's root.
        Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::OVERFLOW) => {}
        Err(error) => return Err(error.into()),
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => {}
        FileType::Directory | FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            fchmod(openat(at, name, flags, Mode::empty())?, mode)?;
        }
        // It has just been made here, so it is no link.
        _ => rustix::fs::chmodat(at, name, mode, AtFlags::empty())?,
    }
    let times = Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: nanos(stat.st_atime_nsec) },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: nanos(stat.st_mtime_nsec) },
    };
    Ok(utimensat(at, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn nanos(value: u64) -> i64 {
    i64::try_from(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn links_stay_links_and_modes_and_times_are_kept() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = |name: &str| from.path().join(name);
        fs::create_dir_all(path("a/b")).unwrap();
        fs::write(path("a/b/file"), "content").unwrap();
        fs::set_permissions(path("a/b/file"), fs::Permissions::from_mode(0o4751)).unwrap();
        fs::set_permissions(path("a"), fs::Permissions::from_mode(0o1770)).unwrap();
        symlink("/etc/passwd", path("link")).unwrap();
        fs::set_permissions(from.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let open = |path: &std::path::Path| -> OwnedFd { File::open(path).unwrap().into() };
        copy(open(from.path()).as_fd(), &open(to.path())).unwrap();

        let copied = |name: &str| to.path().join(name);
        assert_eq!(fs::read_to_string(copied("a/b/file")).unwrap(), "content");
        assert_eq!(fs::read_link(copied("link")).unwrap(), std::path::Path::new("/etc/passwd"));
        for name in ["a", "a/b", "a/b/file", "."] {
            let (old, new) = (fs::metadata(path(name)).unwrap(), fs::metadata(copied(name)).unwrap());
            assert_eq!((old.mode(), old.mtime_nsec()), (new.mode(), new.mtime_nsec()), "{name}");
        }
    }

    #[test]
    fn too_deep_a_tree_is_an_error() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let deep: std::path::PathBuf = std::iter::repeat_n("d", 70).collect();
        fs::create_dir_all(from.path().join(deep)).unwrap();
        let open = |path: &std::path::Path| -> OwnedFd { File::open(path).unwrap().into() };
        let error = copy(open(from.path()).as_fd(), &open(to.path())).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    }
}

//! Who can decide what is in the state dir: whoever owns it, and whoever can put another one in its place. The daemon runs
//! programs and sends signals by what stands there, so nobody but root and the daemon's own user may.

use crate::error::{Error, Result, errno_text};
use rustix::process::geteuid;
use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

/// Links that are followed on the way, as by the kernel.
const MAX_LINKS: usize = 40;
/// Who beside the owner may write.
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Whether it is root's or the daemon's own.
pub(super) fn is_ours(metadata: &Metadata) -> bool {
    metadata.uid() == 0 || metadata.uid() == geteuid().as_raw()
}

/// Insists that nobody else can write to the folder or replace it. A mode that is too open is narrowed, and returned.
pub(super) fn check(path: &Path) -> Result<Option<u32>> {
    let untrusted = |reason: String| Error::Untrusted { path: path.to_owned(), reason };
    let real = resolve(path).map_err(&untrusted)?;
    let metadata = look_at(&real).map_err(&untrusted)?;
    if !metadata.is_dir() {
        return Err(untrusted(
            "it is not a directory; remove what is there or give another --state-dir".to_owned(),
        ));
    }
    if metadata.mode() & OTHERS_WRITE == 0 {
        return Ok(None);
    }
    let mode = metadata.mode() & 0o777 & !OTHERS_WRITE;
    fs::set_permissions(&real, Permissions::from_mode(mode)).map_err(|e| Error::io("chmod", &real, e))?;
    Ok(Some(mode))
}

/// Follows a path as the kernel does, and refuses each step that is somebody else's to change.
fn resolve(path: &Path) -> Result<PathBuf, String> {
    let mut todo: Vec<PathBuf> = components(path);
    let (mut real, mut links) = (PathBuf::from("/"), 0);
    while let Some(next) = todo.pop() {
        let next = if next == Path::new("..") {
            real.pop();
            continue;
        } else {
            real.join(next)
        };
        let metadata = look_at(&next)?;
        if !is_ours(&metadata) {
            return Err(format!(
                "{} belongs to user {}, who could put anything there; chown it to root or give another --state-dir",
                next.display(),
                metadata.uid()
            ));
        }
        if metadata.is_symlink() {
            links += 1;
            if links > MAX_LINKS {
                return Err(format!("too many symbolic links at {}", next.display()));
            }
            let target = fs::read_link(&next)
                .map_err(|e| format!("cannot read {}: {}", next.display(), errno_text(&e)))?;
            if target.is_absolute() {
                real = PathBuf::from("/");
            }
            todo.extend(components(&target));
            continue;
        }
        real = next;
        // Entries of a sticky folder are their owners' to rename (inode(7)); the last one is narrowed by the caller.
        let others = metadata.mode() & OTHERS_WRITE & if metadata.gid() == 0 { !0o020 } else { !0 };
        if !todo.is_empty() && others != 0 && metadata.mode() & STICKY == 0 {
            return Err(format!(
                "others can write to {}, and so replace what is in it; chmod go-w it or give another --state-dir",
                real.display()
            ));
        }
    }
    Ok(real)
}

/// The parts of a path, the first one last.
fn components(path: &Path) -> Vec<PathBuf> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    parts.rev().collect()
}

fn look_at(path: &Path) -> Result<Metadata, String> {
    fs::symlink_metadata(path).map_err(|e| format!("cannot look at {}: {}", path.display(), errno_text(&e)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{chown, symlink};

    fn folder(path: &Path, mode: u32) -> PathBuf {
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        path.to_owned()
    }

    #[test]
    fn a_folder_that_is_too_open_is_closed() {
        let root = tempfile::tempdir().unwrap();
        let state = folder(&root.path().join("state"), 0o777);
        assert_eq!(check(&state).unwrap(), Some(0o755));
        assert_eq!(fs::metadata(&state).unwrap().mode() & 0o777, 0o755);
        let link = root.path().join("link");
        symlink("state", &link).unwrap();
        assert_eq!(check(&link).unwrap(), None);
    }

    #[test]
    fn what_others_could_replace_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let open = folder(&root.path().join("open"), 0o777);
        let state = folder(&open.join("state"), 0o700);
        let refused = |path: &Path| check(path).unwrap_err().to_string();
        assert!(refused(&state).contains("others can write to"), "{}", refused(&state));
        let link = root.path().join("link");
        symlink(&state, &link).unwrap();
        assert!(refused(&link).contains("others can write to"));
        fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
        check(&state).unwrap();
        let file = root.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(refused(&file).contains("not a directory"));
        let around = root.path().join("around");
        symlink("around", &around).unwrap();
        assert!(refused(&around).contains("too many symbolic links"));
        if geteuid().is_root() {
            chown(&state, Some(65_534), None).unwrap();
            assert!(refused(&state).contains("belongs to user 65534"));
        }
    }
}

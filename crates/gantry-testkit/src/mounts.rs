//! The mount table (proc_pid_mountinfo(5)).

use rustix::mount::{UnmountFlags, unmount};
use std::fs;
use std::path::{Path, PathBuf};

/// One line of the table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) point: PathBuf,
    pub(crate) kind: String,
}

/// The mounts of this process's namespace, in the order in which they were made.
pub(crate) fn all() -> Vec<Mount> {
    fs::read_to_string("/proc/self/mountinfo")
        .expect("read the mount table")
        .lines()
        .filter_map(parse)
        .collect()
}

/// The mount points at or below `folder`.
pub(crate) fn under(folder: &Path) -> Vec<PathBuf> {
    all().into_iter().map(|mount| mount.point).filter(|point| point.starts_with(folder)).collect()
}

/// Takes all mounts at or below `folder` away, the last one first.
pub(crate) fn remove_under(folder: &Path) {
    for point in under(folder).iter().rev() {
        if let Err(error) = unmount(point, UnmountFlags::DETACH) {
            eprintln!("testkit: cannot unmount {}: {error}", point.display());
        }
    }
}

/// Field 5 is the mount point; after the separator `-` comes the file system's type.
fn parse(line: &str) -> Option<Mount> {
    let (head, tail) = line.split_once(" - ")?;
    let point = PathBuf::from(unescape(head.split(' ').nth(4)?));
    Some(Mount { point, kind: tail.split(' ').next()?.to_owned() })
}

/// Space, tab, newline and backslash are written as octal numbers.
fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_point_and_kind() {
        let line = "41 31 0:38 / /sys/fs/a\\040b rw,relatime shared:1 - cgroup2 cgroup2 rw";
        let mount = Mount { point: PathBuf::from("/sys/fs/a b"), kind: "cgroup2".to_owned() };
        assert_eq!(parse(line), Some(mount));
        assert_eq!(parse("nonsense"), None);
        assert!(all().iter().any(|mount| mount.point == Path::new("/proc")));
    }
}
